//! rcompose binary.
fn main() {}
