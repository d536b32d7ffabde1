//! The frames before a request and its reply.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pushsub::fuzzing::envelopes(octets));
