//! Each rule of the house sees what breaks it, shown on samples.

use super::source::House;
use super::{
    Exception, FILE_LENGTH, FUNCTION_LENGTH, LAYERED, OPENING, PURE_LAYERS, Rule, SLEEPLESS,
    idle_exceptions,
};

#[test]
fn a_use_that_goes_up_is_caught_however_it_is_written() {
    for bad in [
        "use crate::socket::Push;",
        "use crate::{message::Message, socket};",
        "fn f() { crate::socket::wake(); }",
        "macro_rules! wake { () => { $crate::socket::wake() } }",
        "fn f() { debug_assert!(crate::socket::is_open()); }",
        "use super::super::socket::Push;",
        "mod inner { use super::super::super::service::Client; }",
        "use crate::Push;",
        "use crate::*;",
        "use crate::unheard_of::Thing;",
    ] {
        let lib = ("src/lib.rs", "pub use socket::{Dealer, Push};");
        assert_caught(&LAYERED, &[lib, ("src/session/driver.rs", bad)]);
    }
    assert_caught(&LAYERED, &[("src/message.rs", "use crate::zmtp::frame;")]);
    assert_caught(
        &LAYERED,
        &[("src/pipe/mod.rs", "use crate::zmtp::command;")],
    );
    assert_caught(&LAYERED, &[("src/stray/mod.rs", "use crate::zmtp::frame;")]);
    assert_caught(&LAYERED, &[("src/zmtp/frame.rs", "use crate::transport;")]);
}

#[test]
fn a_use_that_goes_down_is_let_through() {
    for good in [
        "use crate::pipe::Pipe;",
        "use crate::Message; use super::dial; use crate::zmtp::{decode, frame};",
        "#[cfg(test)] mod tests { use crate::socket::Push; }",
    ] {
        let lib = (
            "src/lib.rs",
            "pub use message::Message; pub use socket::Push;",
        );
        assert_let_through(&LAYERED, &[lib, ("src/session/driver.rs", good)]);
    }
    assert_let_through(
        &LAYERED,
        &[("src/pipe/mod.rs", "use crate::zmtp::frame::encode;")],
    );
    let declared = ("src/zmtp/decode.rs", "#[cfg(test)] mod tests;");
    let test = ("src/zmtp/decode/tests.rs", "use crate::socket::Push;");
    assert_let_through(&LAYERED, &[declared, test]);
}

#[test]
fn a_clock_a_lock_or_a_task_in_a_pure_layer_is_caught() {
    for bad in [
        "use tokio::sync::Notify;",
        "fn f() { let now = std::time::Instant::now(); }",
        "fn f() { let now = SystemTime::now(); }",
        "use parking_lot::Mutex;",
        "static COUNT: std::sync::atomic::AtomicU64 = zero();",
        "async fn f() {}",
    ] {
        assert_caught(&PURE_LAYERS, &[("src/zmtp/heartbeat.rs", bad)]);
        assert_caught(&PURE_LAYERS, &[("src/device/broker/core.rs", bad)]);
        assert_let_through(&PURE_LAYERS, &[("src/session/driver.rs", bad)]);
    }
    let good = "/// Never calls tokio or `Instant::now()`.\nfn f(now: std::time::Instant) {}\n\
                #[cfg(test)] mod tests { fn f() { Instant::now(); } }";
    assert_let_through(&PURE_LAYERS, &[("src/routing/fair_queue.rs", good)]);
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_caught() {
    assert_caught(&OPENING, &[("src/pipe/queue.rs", "fn f() {}")]);
    assert_caught(&OPENING, &[("src/pipe/mod.rs", "//! A queue.\n")]);
    assert_let_through(
        &OPENING,
        &[("src/pipe/mod.rs", "//! A queue that never blocks.\n")],
    );
}

#[test]
fn a_file_of_601_lines_is_caught() {
    assert_caught(&FILE_LENGTH, &[("src/long.rs", &"//\n".repeat(601))]);
    assert_let_through(&FILE_LENGTH, &[("src/long.rs", &"//\n".repeat(600))]);
}

#[test]
fn a_function_of_71_lines_is_caught_also_in_a_macro() {
    let function = |lines: usize| format!("fn f() {{{}}}", "\n".repeat(lines - 1));
    assert_caught(&FUNCTION_LENGTH, &[("tests/it/long.rs", &function(71))]);
    assert_caught(
        &FUNCTION_LENGTH,
        &[("src/long.rs", &format!("wrap! {{ {} }}", function(71)))],
    );
    let many = format!("{}\n{}", function(70), function(70));
    assert_let_through(&FUNCTION_LENGTH, &[("src/long.rs", &many)]);
    let declared = format!(
        "trait T {{ fn f(call: fn() -> [u8; 4]);{}}}",
        "\n".repeat(80)
    );
    assert_let_through(&FUNCTION_LENGTH, &[("src/long.rs", &declared)]);
}

#[test]
fn a_sleep_is_caught() {
    assert_caught(
        &SLEEPLESS,
        &[(
            "tests/it/a.rs",
            "async fn f() { tokio::time::sleep(SHORT).await; }",
        )],
    );
    assert_caught(
        &SLEEPLESS,
        &[("src/a.rs", "fn f() { thread::sleep(SHORT); }")],
    );
    assert_let_through(&SLEEPLESS, &[("src/a.rs", "/// Will sleep(1).\nfn f() {}")]);
}

#[test]
fn an_exception_that_nothing_needs_or_nothing_explains_is_caught() {
    let house = House::of(&[("src/a.rs", "fn f() { sleep(SHORT); }")]);
    let exception = |place, reason| Exception {
        rule: SLEEPLESS.name,
        place,
        reason,
    };
    let good = exception("src/a.rs::f", "the test of the rule itself");
    let idle = exception("src/a.rs::g", "the function is gone since");
    let mute = exception("src/a.rs::f", "");
    assert_eq!(idle_exceptions(&[good], &house), [""; 0]);
    assert_eq!(idle_exceptions(&[idle], &house), ["sleep: src/a.rs::g"]);
    assert_eq!(idle_exceptions(&[mute], &house), ["sleep: src/a.rs::f"]);
}

#[track_caller]
fn assert_caught(rule: &Rule, samples: &[(&str, &str)]) {
    assert!(
        !(rule.check)(&House::of(samples)).is_empty(),
        "not caught: {samples:?}"
    );
}

#[track_caller]
fn assert_let_through(rule: &Rule, samples: &[(&str, &str)]) {
    let findings = (rule.check)(&House::of(samples));
    let findings: Vec<_> = findings.iter().map(|finding| &finding.what).collect();
    assert!(findings.is_empty(), "{findings:?}");
}
