//! Process identity, limits, ids, signals.
