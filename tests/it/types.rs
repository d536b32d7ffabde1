//! What a pattern does not have does not compile.

use std::process::Command;

/// A12, PL01, PS01, RQ01, RP01, PB11: each file says which operation it is about.
///
/// The words of the errors change from compiler to compiler: they are compared
/// with the one that the package names.
#[test]
fn an_operation_that_a_pattern_does_not_have_does_not_compile() {
    let tested = env!("CARGO_PKG_RUST_VERSION");
    let compiler = Command::new("rustc")
        .arg("--version")
        .output()
        .expect("rustc is there");
    let version = String::from_utf8_lossy(&compiler.stdout).into_owned();
    if version.starts_with(&format!("rustc {tested}.")) {
        trybuild::TestCases::new().compile_fail("tests/it/types/*.rs");
        return;
    }
    let required = std::env::var_os("PUSHSUB_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(
        !required,
        "this wants rustc {tested}, and here is {version}"
    );
    println!("SKIPPED: the words of {version} are not those of rustc {tested}");
}
