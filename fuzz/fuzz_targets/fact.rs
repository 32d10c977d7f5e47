#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wattle_fuzz::mesh::fact::holds(data));
