//! See `walks::request`.
#![no_main]
#[path = "../walks.rs"]
#[allow(dead_code)]
mod walks;
libfuzzer_sys::fuzz_target!(|data: &[u8]| walks::request(data));
