#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringcx_rotator::fuzz_properties::policy::loading(bytes));
