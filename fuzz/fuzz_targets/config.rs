#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ngx_core::http::fuzz_config(data));
