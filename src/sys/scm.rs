//! Descriptors over Unix sockets (SCM_RIGHTS).
