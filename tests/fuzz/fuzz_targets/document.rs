#![no_main]
//! See `targets::document`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::document(bytes));
