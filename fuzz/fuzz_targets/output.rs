#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ngx_buf::check::fuzz_output(data));
