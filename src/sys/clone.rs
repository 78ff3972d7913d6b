//! clone3(2) and what surrounds it.
