//! Network namespaces: making, entering on a thread of their own, sockets inside.
