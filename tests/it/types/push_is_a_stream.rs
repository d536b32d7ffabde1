//! A PUSH is no stream (PS01).

fn main() {
    stream(pushsub::Push::new());
}

fn stream(_: impl futures::Stream) {}
