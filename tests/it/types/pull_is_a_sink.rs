//! A PULL is no sink (PL01).

fn main() {
    sink(pushsub::Pull::new());
}

fn sink(_: impl futures::Sink<pushsub::Message>) {}
