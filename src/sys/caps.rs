//! Capabilities by name and number.
