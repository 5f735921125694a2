//! The fuzz target `proxy` as a program of libFuzzer, which brings the function `main`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| datastream_fuzz::proxy::run(data));
