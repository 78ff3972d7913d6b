#![no_main]
//! See `targets::layer`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::layer(bytes));
