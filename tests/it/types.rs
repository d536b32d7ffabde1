//! What a pattern does not have does not compile.

/// A12, PL01, PS01, RQ01, RP01, PB11: each file says which operation it is about.
#[test]
fn an_operation_that_a_pattern_does_not_have_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/it/types/*.rs");
}
