#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| webrocket_fuzz::hub(bytes));
