//! See `phoenix_conformance::fuzz::dpop`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    phoenix_conformance::fuzz::dpop(input);
});
