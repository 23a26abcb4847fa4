#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringcx_rotator::hostile::api::ringex_jwt(bytes));
