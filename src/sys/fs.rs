//! Files by descriptor: openat2(2) inside a root, extended attributes, ownership.
