#![no_main]
//! See `targets::dockerfile`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::dockerfile(bytes));
