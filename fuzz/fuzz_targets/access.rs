//! The fuzz target `access` as a program of libFuzzer, which brings the function `main`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| datastream_fuzz::access::run(data));
