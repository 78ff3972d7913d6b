#![no_main]
//! See `targets::ignore`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::ignore(bytes));
