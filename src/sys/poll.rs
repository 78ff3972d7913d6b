//! Waiting for descriptors, timers and signals in a single-threaded program.
