#![no_main]
//! See `targets::load`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::load(bytes));
