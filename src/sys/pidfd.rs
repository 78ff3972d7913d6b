//! Processes by descriptor.
