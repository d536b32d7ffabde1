//! Batches with times to live and receipts, against a list that does the same in the plainest way.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::batch::{Batch, Progress};
use super::encoded::SHARED_FROM;
use super::marks::Mark;
use super::parcel::Parcel;
use super::receipt::{Fate, Fates, Slip, Tally};
use crate::error::GivenUp;
use crate::message::Message;
use crate::zmtp::frame;

/// What the list knows of a message.
struct Entry {
    message: Message,
    octets: Vec<u8>,
    expires: Option<Instant>,
    receipt: Option<Arc<Tally>>,
}

/// A batch, and the list that it is to be like.
struct Pair {
    batch: Batch,
    list: VecDeque<Entry>,
    /// Octets of the first entry that are written.
    begun: usize,
    /// Receipts of what has left, and what became of it.
    ended: Vec<(Arc<Tally>, Fate)>,
    random: fastrand::Rng,
    now: Instant,
}

impl Pair {
    fn new(batch: Batch, seed: u64) -> Self {
        Self {
            batch,
            list: VecDeque::new(),
            begun: 0,
            ended: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            now: Instant::now(),
        }
    }

    /// A batch with a few messages, and their entries.
    fn fill(&mut self, batch: &mut Batch) -> Vec<Entry> {
        (0..self.random.usize(0..4))
            .map(|_| self.push(batch))
            .collect()
    }

    fn push(&mut self, batch: &mut Batch) -> Entry {
        let size = match self.random.u8(0..4) {
            0 => SHARED_FROM + self.random.usize(0..9),
            _ => self.random.usize(0..300),
        };
        let mut message = Message::from(vec![self.random.u8(..); size]);
        if self.random.bool() {
            message.push_front(vec![
                self.random.u8(..);
                self.random.usize(0..SHARED_FROM + 1_000)
            ]);
        }
        let expires = match self.random.bool() {
            true => Some(self.now + Duration::from_millis(self.random.u64(0..40))),
            false => None,
        };
        let receipt = match self.random.bool() {
            true => Some(Tally::new(Arc::default())),
            false => None,
        };
        batch.push((&message).into());
        if expires.is_some() || receipt.is_some() {
            let slip = receipt.as_ref().map(Slip::new);
            batch.mark_last(Mark { expires, slip });
        }
        let mut octets = Vec::new();
        frame::encode_message(&message, &mut octets);
        Entry {
            message,
            octets,
            expires,
            receipt,
        }
    }

    fn end(&mut self, entry: Entry, fate: Fate) {
        self.ended
            .extend(entry.receipt.map(|receipt| (receipt, fate)));
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.random.u64(0..8));
        match self.random.u8(0..8) {
            0..=2 => {
                let mut later = self.batch.another();
                let entries = self.fill(&mut later);
                self.batch.append(later);
                self.list.extend(entries);
            }
            3 | 4 => self.write(),
            5 if self.begun == 0 => {
                let dropped = self.batch.drop_first();
                self.batch.settle(Fate::GivenUp(GivenUp::Replaced));
                assert_eq!(dropped, !self.list.is_empty());
                if let Some(entry) = self.list.pop_front() {
                    self.end(entry, Fate::GivenUp(GivenUp::Replaced));
                }
            }
            6 => self.cut(),
            _ => self.expire(),
        }
    }

    fn write(&mut self) {
        let mut progress = Progress::default();
        match &mut self.batch {
            Batch::Encoded(encoded) => {
                let encoded = encoded.made();
                let octets = self.random.usize(0..=encoded.octets().min(30_000));
                progress = encoded.advance(octets);
                self.begun += octets;
            }
            Batch::Plain(plain) => {
                if let Some((message, octets)) = plain.made().pop() {
                    assert_eq!(message, self.list[0].message);
                    self.begun = self.list[0].octets.len();
                    progress = Progress {
                        messages: 1,
                        octets,
                        freed: octets,
                    };
                }
            }
        }
        self.batch.settle(Fate::Written);
        let mut whole = 0;
        while let Some(entry) = self
            .list
            .pop_front_if(|first| self.begun >= first.octets.len())
        {
            self.begun -= entry.octets.len();
            whole += 1;
            self.end(entry, Fate::Written);
        }
        assert_eq!(progress.messages, whole);
    }

    fn cut(&mut self) {
        let none = self.batch.another();
        let (rest, died) = std::mem::replace(&mut self.batch, none).into_unwritten();
        self.batch = rest;
        self.batch.settle(Fate::GivenUp(GivenUp::Cut));
        assert_eq!(died, usize::from(self.begun > 0));
        if std::mem::take(&mut self.begun) > 0 {
            let first = self.list.pop_front().expect("it is begun");
            self.end(first, Fate::GivenUp(GivenUp::Cut));
        }
    }

    fn expire(&mut self) {
        let before = self.batch.octets();
        let expired = self.batch.expire(self.now);
        self.batch.settle(Fate::GivenUp(GivenUp::Expired));
        assert_eq!(self.batch.octets(), before - expired.octets);
        let mut kept = VecDeque::new();
        let mut gone = 0;
        for (place, entry) in std::mem::take(&mut self.list).into_iter().enumerate() {
            let begun = place == 0 && self.begun > 0;
            if !begun && entry.expires.is_some_and(|expires| expires <= self.now) {
                gone += 1;
                self.end(entry, Fate::GivenUp(GivenUp::Expired));
            } else {
                kept.push_back(entry);
            }
        }
        self.list = kept;
        assert_eq!(expired.messages, gone);
    }

    fn compare(&self) {
        assert_eq!(self.batch.messages(), self.list.len());
        let waiting = self.list.iter().filter_map(|entry| entry.expires).min();
        if let Some(earliest) = waiting.filter(|_| self.begun == 0) {
            // It may be too early, never too late.
            assert!(self.batch.earliest().is_some_and(|known| known <= earliest));
        }
        if let Batch::Encoded(encoded) = &self.batch
            && let Some(encoded) = encoded.get()
        {
            let mut slices = vec![IoSlice::new(&[]); 1_000];
            let count = encoded.slices(&mut slices);
            let wire: Vec<&[u8]> = slices[..count].iter().map(|slice| &**slice).collect();
            let octets: Vec<&[u8]> = self.list.iter().map(|entry| &*entry.octets).collect();
            assert!(wire.concat() == octets.concat()[self.begun..]);
        }
    }
}

fn fates(tally: &Arc<Tally>) -> Option<Fates> {
    match tally.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(fates) => Some(fates),
        Poll::Pending => None,
    }
}

fn walk(empty: fn() -> Batch) {
    for seed in 0..40 {
        let mut pair = Pair::new(empty(), seed);
        for _ in 0..60 {
            pair.step();
            pair.compare();
        }
        let pending = pair.list.iter().filter_map(|entry| entry.receipt.as_ref());
        assert!(pending.into_iter().all(|receipt| fates(receipt).is_none()));
        for (receipt, fate) in &pair.ended {
            let expected = match fate {
                Fate::Written => Fates {
                    written: 1,
                    given_up: Vec::new(),
                },
                Fate::GivenUp(reason) => Fates {
                    written: 0,
                    given_up: vec![*reason],
                },
            };
            assert_eq!(fates(receipt), Some(expected));
        }
        // What is dropped with its queue ends too: nobody waits for ever.
        let left: Vec<_> = pair
            .list
            .drain(..)
            .filter_map(|entry| entry.receipt)
            .collect();
        drop(pair.batch);
        let closed = Some(vec![GivenUp::Closed]);
        let given_up = |receipt| fates(receipt).map(|fates| fates.given_up);
        assert!(left.iter().all(|receipt| given_up(receipt) == closed));
    }
}

/// C3, C9.
#[test]
fn encoded_messages_leave_as_a_plain_list_of_them_would() {
    walk(|| Batch::ENCODED);
}

/// C3, C9.
#[test]
fn messages_as_they_are_leave_as_a_plain_list_of_them_would() {
    walk(|| Batch::PLAIN);
}

#[test]
fn commands_that_are_begun_do_not_keep_a_message_from_expiring() {
    let now = Instant::now();
    let mut batch = Batch::ENCODED;
    for text in ["a", "b"] {
        batch.push(Parcel::Whole(&mut Some(Message::from(text))));
        let expires = (text == "a").then_some(now);
        batch.mark_last(Mark {
            expires,
            slip: None,
        });
    }
    batch.push_commands_front(vec![4, 1, 0]);
    let Batch::Encoded(encoded) = &mut batch else {
        unreachable!("it encodes")
    };
    encoded.made().advance(1);
    assert_eq!(
        batch.expire(now),
        Progress {
            messages: 1,
            octets: 3,
            // Its place in the index too.
            freed: 3 + 32,
        }
    );
    let (rest, died) = batch.into_unwritten();
    assert_eq!((rest.messages(), rest.octets(), died), (1, 3, 0));
}
