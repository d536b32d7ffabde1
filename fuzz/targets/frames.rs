//! Octets of a link after its handshake.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pushsub::fuzzing::frames(octets));
