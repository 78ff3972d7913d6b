//! CLI ↔ supervisor.
