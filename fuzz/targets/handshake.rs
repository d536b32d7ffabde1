//! The first octets of a link, up to its messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pushsub::fuzzing::handshake(octets));
