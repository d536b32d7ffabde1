//! The properties of a READY.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pushsub::fuzzing::metadata(octets));
