//! What peers subscribe to, step by step.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pushsub::fuzzing::subscriptions(octets));
