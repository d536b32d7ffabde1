//! The first 64 octets of a link.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pushsub::fuzzing::greeting(octets));
