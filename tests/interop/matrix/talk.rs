//! What two sockets of any two types that may talk have to say to each other.

use pushsub::SocketType;
use tokio::task::yield_now;

use super::ours::Ours;
use crate::peer::{message, soon};

/// The other end, which panics when it does not receive what it should.
pub(super) trait Theirs {
    /// Subscribes to everything.
    async fn subscribe(&mut self);
    async fn send(&mut self, frames: &str);
    async fn expect(&mut self, frames: &str);
    /// Expects a message and sends it back.
    async fn answer(&mut self, frames: &str);
    /// Sends the same message over and over until the future is ready.
    async fn repeat_until(&mut self, frames: &str, heard: impl Future<Output = ()>);
}

/// The identity of our socket, and of theirs.
pub(super) const OURS: &str = "ours";
pub(super) const THEIRS: &str = "theirs";

/// Messages of one frame and of many, from nothing to 1 MiB: both forms of a
/// frame's header and more than one read.
fn messages() -> impl Iterator<Item = String> {
    let single = [0, 1, 255, 256, 8_192, 1 << 20];
    let single = single
        .into_iter()
        .enumerate()
        .map(|(seed, size)| format!("p:{seed}:{size}"));
    let several = ["p:6:0 p:7:0", "p:8:256 p:9:0 p:10:255", "p:11:0 p:12:65536"];
    let frames: Vec<_> = (0..17).map(|seed| format!("p:{seed}:{seed}")).collect();
    single
        .chain(several.map(str::to_owned))
        .chain([frames.join(" ")])
}

/// All messages in every direction that there is between the two.
pub(super) async fn talk(
    (ours, our_type): (&Ours, SocketType),
    (theirs, their_type): (&mut impl Theirs, SocketType),
) {
    use SocketType::{Pub, Pull, Push, Rep, Req, Sub, XPub, XSub};
    if matches!(our_type, Pub | XPub | Sub | XSub) {
        subscribe((ours, our_type), (theirs, their_type)).await;
    }
    let here = envelope(our_type, their_type, THEIRS);
    let there = envelope(their_type, our_type, OURS);
    for body in messages() {
        let (here, there) = (format!("{here} {body}"), format!("{there} {body}"));
        match our_type {
            Push | Pub | XPub => {
                soon(ours.send(message(&here))).await;
                theirs.expect(&there).await;
            }
            Pull | Sub | XSub => {
                theirs.send(&there).await;
                assert_eq!(soon(ours.recv()).await, message(&here));
            }
            _ => {
                // Who begins is known to a ROUTER by then.
                if our_type != Rep && their_type != Req {
                    ask(ours, &here, theirs, &there).await;
                }
                if our_type != Req && their_type != Rep {
                    answer(ours, &here, theirs, &there).await;
                }
            }
        }
    }
}

async fn ask(ours: &Ours, here: &str, theirs: &mut impl Theirs, there: &str) {
    let (reply, ()) = tokio::join!(soon(ours.ask(message(here))), theirs.answer(there));
    assert_eq!(reply, message(here));
}

async fn answer(ours: &Ours, here: &str, theirs: &mut impl Theirs, there: &str) {
    theirs.send(there).await;
    assert_eq!(soon(ours.answer()).await, message(here));
    theirs.expect(there).await;
}

/// What stands before a message for those who see its envelope: the identity
/// of the peer at a ROUTER, the delimiter that only REQ and REP hide.
fn envelope(this: SocketType, other: SocketType, name: &str) -> String {
    use SocketType::{Dealer, Rep, Req, Router};
    let identity = (this == Router).then(|| format!("t:{name}"));
    let delimited = matches!((this, other), (Router, Req) | (Dealer, Rep));
    let delimiter = delimited.then(|| "h:".to_owned());
    let frames: Vec<_> = identity.into_iter().chain(delimiter).collect();
    frames.join(" ")
}

/// Returns when whoever publishes knows the subscription of the other.
async fn subscribe(
    (ours, our_type): (&Ours, SocketType),
    (theirs, their_type): (&mut impl Theirs, SocketType),
) {
    match (our_type, their_type) {
        (SocketType::Pub, _) => {
            theirs.subscribe().await;
            let before = ours.stats().sent.accepted;
            let matched = async {
                while ours.stats().sent.accepted == before {
                    ours.send("first".into()).await;
                    yield_now().await;
                }
            };
            soon(matched).await;
            theirs.expect("t:first").await;
        }
        (SocketType::XPub, _) => {
            theirs.subscribe().await;
            // Of who was there before it tells the end (PB14).
            while soon(ours.recv()).await != message("h:01") {}
        }
        (_, SocketType::XPub) => theirs.expect("h:01").await,
        _ => {
            let heard = async {
                assert_eq!(soon(ours.recv()).await, message("t:first"));
            };
            theirs.repeat_until("t:first", heard).await;
            theirs.send("t:last").await;
            while soon(ours.recv()).await != message("t:last") {}
        }
    }
}
