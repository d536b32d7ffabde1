//! When what waits in a pipe is taken, and whom it admits.

use std::sync::Arc;

use tokio::time::advance;

use super::{Leaves, Pipe};
use crate::endpoint::Endpoint;
use crate::message::Message;
use crate::options::Options;
use crate::pipe::Batch;
use crate::session::{Taken, Writer};
use crate::socket::departure::{GROWN_AT, LITTLE, YOUNG};

fn pipe(mark: usize) -> Pipe {
    let endpoint: Endpoint = "tcp://127.0.0.1:1".parse().expect("an endpoint");
    let options = Options::default().send_high_water_mark(mark);
    Pipe::new(0, Arc::new(endpoint), true, &options)
}

fn push(pipe: &mut Pipe) {
    pipe.push((&Message::from("of a burst")).into(), None, Leaves::AtOnce);
}

/// What the driver is told in so many turns, of which the first come with a message more.
fn turns(pipe: &mut Pipe, growing: usize, turns: usize) -> Vec<Taken> {
    let mut batch = Batch::ENCODED;
    let turn = |turn| {
        if turn < growing {
            push(pipe);
        }
        pipe.take(&mut batch, Writer::Driver)
    };
    (0..turns).map(turn).collect()
}

/// A dropping socket counts on it: whoever has less outstanding than the mark misses nothing.
#[test]
fn a_full_pipe_admits_another_while_what_it_holds_is_written() {
    let mut pipe = pipe(1);
    let another = Message::from("another");
    push(&mut pipe);
    assert!(!pipe.admits((&another).into()));
    let mut batch = Batch::ENCODED;
    assert_eq!(pipe.take(&mut batch, Writer::Sender), Taken::Batch);
    assert!(pipe.admits((&another).into()));
    pipe.outgoing.set_writing(false);
    assert!(!pipe.admits((&another).into()), "the wire has refused it");
}

#[test]
fn a_burst_that_has_not_grown_for_two_turns_is_written() {
    let told = turns(&mut pipe(1_000), 1, 3);
    assert_eq!(told, [Taken::Growing, Taken::Waiting, Taken::Batch]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_grows_is_written_after_eight_turns() {
    let told = turns(&mut pipe(1_000), 9, 9);
    assert_eq!(told[0], Taken::Growing);
    assert_eq!(told[1..8], [Taken::Little; 7], "it waits for its sender");
    assert_eq!(told[8], Taken::Batch);
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_has_grown_for_a_while_waits_for_its_sender_no_more() {
    let mut pipe = pipe(1_000);
    let told = turns(&mut pipe, 2, 2);
    assert_eq!(told, [Taken::Growing, Taken::Little]);
    advance(YOUNG).await;
    assert_eq!(turns(&mut pipe, 7, 7)[..6], [Taken::Waiting; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_some_size_waits_for_its_sender_once() {
    let mut pipe = pipe(1_000);
    let some = Message::from(vec![7; LITTLE]);
    pipe.push((&some).into(), None, Leaves::AtOnce);
    let told = turns(&mut pipe, 3, 3);
    assert_eq!(told, [Taken::Growing, Taken::Waiting, Taken::Waiting]);
}

/// Its age is that of this burst, not of one before.
#[tokio::test(start_paused = true)]
async fn each_burst_is_young_when_it_begins() {
    let mut pipe = pipe(1_000);
    assert_eq!(turns(&mut pipe, 1, 3)[2], Taken::Batch);
    advance(YOUNG).await;
    let told = turns(&mut pipe, 2, 2);
    assert_eq!(told, [Taken::Growing, Taken::Little]);
}

#[test]
fn a_burst_that_is_large_enough_grows_no_more() {
    let mut pipe = pipe(1_000);
    let large = Message::from(vec![7; GROWN_AT]);
    pipe.push((&large).into(), None, Leaves::AtOnce);
    assert_eq!(turns(&mut pipe, 1, 1), [Taken::Batch]);
}

#[test]
fn a_full_pipe_cannot_grow_and_is_written_at_once() {
    assert_eq!(turns(&mut pipe(1), 1, 1), [Taken::Batch]);
}
