#![no_main]
//! See `targets::variables`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::variables(bytes));
