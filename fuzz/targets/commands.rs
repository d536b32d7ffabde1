//! The body of a command frame.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pushsub::fuzzing::commands(octets));
