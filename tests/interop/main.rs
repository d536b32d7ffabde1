//! Real peers: programs in Python over libzmq on the other end of the wire.

mod support;

use support::{Script, python};

#[tokio::test]
async fn a_script_says_which_libzmq_it_has_and_hears_what_it_is_told() {
    let Some(python) = python() else { return };
    let mut script = Script::start(python, "hello.py", &["echo"]);
    assert!(script.expect("libzmq").await.starts_with("4."));
    script.tell("how are you").await;
    assert_eq!(script.expect("echo").await, "how are you");
    script.kill().await;
}
