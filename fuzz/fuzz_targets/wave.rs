#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wattle_fuzz::runtime::wave::holds(data));
