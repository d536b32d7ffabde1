//! Properties of the queues: what is taken in is written, given up with a reason, or still there, and
//! what is held is charged.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::encoded::SHARED_FROM;
use super::{
    Batch, Copied, Fate, Incoming, Mark, Outgoing, Parcel, Plain, Progress, Slip, Tally, Ticket,
    Waiters,
};
use crate::context::Context;
use crate::error::GivenUp;
use crate::message::Message;
use crate::options::Limit;
use crate::zmtp::frame;

/// What can happen to the sending half of a pipe.
#[derive(Clone, Debug)]
enum Step {
    Push(Message),
    DropOldest,
    Take,
    Write(usize),
    Cut,
    Expire(u64),
    Clear,
    Reserve,
    Unreserve,
}

fn message() -> impl Strategy<Value = Message> {
    let octets = prop_oneof![
        3 => 0_usize..300,
        1 => SHARED_FROM - 100..SHARED_FROM + 100,
        1 => 10_000_usize..30_000,
    ];
    (octets, any::<u8>()).prop_map(|(octets, filling)| vec![filling; octets].into())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => message().prop_map(Step::Push),
        1 => Just(Step::DropOldest),
        2 => Just(Step::Take),
        3 => (0_usize..40_000).prop_map(Step::Write),
        1 => Just(Step::Cut),
        1 => (0_u64..30).prop_map(Step::Expire),
        1 => Just(Step::Reserve),
        1 => Just(Step::Unreserve),
        1 => Just(Step::Clear),
    ];
    vec(step, 0..60)
}

/// The sending half of a pipe with its writer, and what became of its messages.
struct Half {
    outgoing: Outgoing,
    writer: Batch,
    limit: usize,
    start: Instant,
    reserved: usize,
    accepted: u64,
    written: u64,
    dropped: u64,
    /// Octets that reached the wire, and those that were to.
    wire: Vec<u8>,
}

impl Half {
    fn new(limit: usize, context: &Context) -> Self {
        let limits = Limit {
            messages: limit,
            bytes: 60_000,
        };
        Self {
            outgoing: Outgoing::new(limits, false, context.lease()),
            writer: Batch::ENCODED,
            limit,
            start: Instant::now(),
            reserved: 0,
            accepted: 0,
            written: 0,
            dropped: 0,
            wire: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Push(message) => {
                if self.outgoing.has_room() && self.outgoing.try_charge(message.into(), false) {
                    self.outgoing.push(message.into());
                    let expires = self
                        .accepted
                        .is_multiple_of(3)
                        .then(|| self.start + Duration::from_millis(self.accepted));
                    let slip = None;
                    self.outgoing.mark_last(Mark { expires, slip });
                    self.accepted += 1;
                }
            }
            Step::DropOldest => self.dropped += u64::from(self.outgoing.drop_oldest()),
            Step::Take => {
                if self.writer.is_empty() {
                    self.outgoing.take(&mut self.writer);
                }
            }
            Step::Write(octets) => self.write(*octets),
            Step::Cut => {
                let none = self.writer.another();
                let batch = std::mem::replace(&mut self.writer, none);
                self.dropped += self.outgoing.restore(batch) as u64;
                self.wire.clear();
            }
            Step::Expire(milliseconds) => {
                let now = self.start + Duration::from_millis(*milliseconds);
                self.dropped += self.outgoing.expire(now) as u64;
            }
            Step::Clear if self.writer.is_empty() => {
                self.dropped += self.outgoing.messages() as u64;
                self.outgoing.clear(GivenUp::Discarded);
            }
            Step::Clear => {}
            Step::Reserve => {
                if self.outgoing.has_room() {
                    self.outgoing.reserve();
                    self.reserved += 1;
                }
            }
            Step::Unreserve if self.reserved > 0 => {
                self.outgoing.unreserve();
                self.reserved -= 1;
            }
            Step::Unreserve => {}
        }
    }

    fn write(&mut self, octets: usize) {
        let Batch::Encoded(encoded) = &mut self.writer else {
            unreachable!("it encodes")
        };
        let encoded = encoded.made();
        let octets = octets.min(encoded.octets());
        let mut slices = vec![IoSlice::new(&[]); 200];
        let count = encoded.slices(&mut slices);
        let waiting = slices[..count].iter().flat_map(|slice| slice.to_vec());
        self.wire.extend(waiting.take(octets));
        let progress = encoded.advance(octets);
        self.written += progress.messages as u64;
        self.outgoing.written(progress);
        self.outgoing.reuse(&mut self.writer);
    }
}

/// Counts its wake-ups.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

proptest! {
    #![proptest_config(crate::property::cases(64))]

    /// C5.
    #[test]
    fn what_is_accepted_is_written_or_given_up_or_still_there(
        steps in steps(), limit in 1_usize..20
    ) {
        let context = Context::builder().budget(1 << 20).build();
        let mut half = Half::new(limit, &context);
        for step in &steps {
            half.step(step);
            let there = half.outgoing.messages() as u64;
            prop_assert_eq!(half.accepted, half.written + half.dropped + there);
        }
    }

    /// C1.
    #[test]
    fn messages_and_places_together_are_never_above_the_mark(
        steps in steps(), limit in 1_usize..20
    ) {
        let context = Context::new();
        let mut half = Half::new(limit, &context);
        for step in &steps {
            half.step(step);
            prop_assert!(half.outgoing.messages() + half.reserved <= half.limit);
        }
    }

    /// C2.
    #[test]
    fn what_is_charged_is_within_the_budget_and_given_back_whole(steps in steps()) {
        let context = Context::builder().budget(128 << 10).build();
        let mut halves = [Half::new(20, &context), Half::new(20, &context)];
        for (place, step) in steps.iter().enumerate() {
            halves[place % 2].step(step);
            // A batch that is encoded anew may cost a place in its index more.
            prop_assert!(context.used() <= context.budget() + (8 << 10));
        }
        drop(halves);
        prop_assert_eq!(context.used(), 0);
    }

    /// Z22: whole frames, one behind the other, from the first octet of each connection.
    #[test]
    fn the_wire_carries_whole_messages_whatever_is_dropped_and_cut(steps in steps()) {
        let context = Context::new();
        let mut half = Half::new(20, &context);
        for step in &steps {
            half.step(step);
        }
        let mut left = &half.wire[..];
        while let Some((header, size)) = frame::Header::parse(left).expect("our own frames") {
            let end = size + usize::try_from(header.length).expect("small");
            let Some(body) = left.get(size..end) else { break };
            prop_assert!(body.windows(2).all(|pair| pair[0] == pair[1]), "one message's octets");
            left = &left[end..];
        }
    }

    /// PB09: and its cost is known before.
    #[test]
    fn what_is_encoded_once_for_several_is_as_what_is_encoded_for_each(
        sizes in vec(0_usize..3_000, 1..5), queues in 1_usize..4
    ) {
        let frames = sizes.iter().map(|size| vec![7; *size].into()).collect();
        let message = Message::from_frames(frames).expect("there are frames");
        let mut scratch = b"of another".to_vec();
        let copied = Copied::new(&message, queues, &mut scratch);
        let mut wanted = Vec::new();
        frame::encode_message(&message, &mut wanted);
        for _ in 0..queues {
            let mut batch = Batch::ENCODED;
            let cost = batch.cost(copied);
            prop_assert_eq!(cost, batch.cost((&message).into()));
            batch.push(Parcel::Copy(copied));
            prop_assert_eq!((batch.octets(), batch.pinned()), (wanted.len(), cost));
            let Batch::Encoded(encoded) = &mut batch else { unreachable!("it was made so") };
            let encoded = encoded.made();
            let mut slices = [IoSlice::new(&[]); 64];
            let count = encoded.slices(&mut slices);
            let octets: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            prop_assert_eq!(encoded.only_slice().is_some(), count == 1);
            prop_assert_eq!(octets, wanted.clone());
        }
    }

    /// C5, PL04: and in its order.
    #[test]
    fn what_is_received_is_delivered_or_expired_or_still_there(
        steps in vec((0_u8..5, 0_usize..3_000), 0..80)
    ) {
        let limit = Limit { messages: 10, bytes: 8_000 };
        let mut incoming = Incoming::new(limit, Context::new().lease());
        let start = Instant::now();
        let (mut list, mut next, mut gone) = (VecDeque::new(), 0_u32, 0_u64);
        for (what, size) in steps {
            match what {
                0 | 1 => {
                    let mut body = next.to_be_bytes().to_vec();
                    body.resize(4 + size, 0);
                    incoming.push(body.into());
                    let expires = start + Duration::from_millis(size as u64);
                    if what == 1 {
                        incoming.expire_last(expires);
                    }
                    list.push_back((next, (what == 1).then_some(expires)));
                    next += 1;
                }
                2 => {
                    let message = incoming.pop();
                    let wanted = list.pop_front();
                    gone += u64::from(wanted.is_some());
                    let number = message.map(|message| message.first()[..4].to_vec());
                    prop_assert_eq!(number, wanted.map(|(number, _)| number.to_be_bytes().to_vec()));
                }
                3 => {
                    let mut messages = vec![Message::from("before")];
                    let limit = size % 5;
                    let count = incoming.pop_into(&mut messages, limit);
                    prop_assert_eq!(count, limit.min(list.len()));
                    gone += count as u64;
                    let wanted = list.drain(..count).map(|(number, _)| number);
                    let numbers = messages[1..].iter().map(|message| {
                        u32::from_be_bytes(*message.first().first_chunk().expect("four octets"))
                    });
                    prop_assert!(numbers.eq(wanted));
                }
                _ => {
                    let now = start + Duration::from_millis(size as u64);
                    let before = list.len();
                    let places = list.iter().enumerate().filter(|(_, (_, expires))| {
                        expires.is_some_and(|expires| expires <= now)
                    });
                    let places: Vec<usize> = places.map(|(place, _)| place).collect();
                    prop_assert_eq!(incoming.expire(now), places);
                    list.retain(|(_, expires)| expires.is_none_or(|expires| expires > now));
                    gone += (before - list.len()) as u64;
                }
            }
            prop_assert_eq!(incoming.len(), list.len());
            prop_assert_eq!(incoming.position(), gone);
        }
    }

    /// C1, BI-39: what is taken in as a run is what would be, message by message.
    #[test]
    fn a_run_ends_where_one_message_after_the_other_would(
        sizes in vec(prop_oneof![5 => 0_usize..100, 1 => 10_000_usize..30_000], 0..40),
        held in 0_usize..4, limit in 1_usize..40, bytes in 1_usize..1_000_000, scarce in any::<bool>()
    ) {
        let context = Context::builder().budget(if scarce { 64 << 10 } else { 64 << 20 }).build();
        let alone = Context::builder().budget(context.budget()).build();
        let limit = Limit { messages: limit, bytes };
        let mut incoming = Incoming::new(limit, context.lease());
        let mut one_by_one = Incoming::new(limit, alone.lease());
        for _ in 0..held.min(limit.messages - 1) {
            incoming.push(Message::from(""));
            one_by_one.push(Message::from(""));
        }
        let mut plain = Plain::default();
        let mut waiting = VecDeque::new();
        for (place, size) in sizes.into_iter().enumerate() {
            let mut message = Message::from(vec![place as u8; size]);
            for _ in 0..(size % 3) * 1_000 { message.push_back(""); }
            plain.push(message.clone());
            waiting.push_back(message);
        }
        let refused = |message: &Message| message.size() == 99;
        let (octets, messages) = (plain.octets(), plain.messages());
        let mut moved = Progress::default();
        if !incoming.is_paused() {
            moved = plain.pass_to(&mut incoming, |message| !refused(message));
        }
        prop_assert_eq!(plain.messages() + moved.messages, messages);
        prop_assert_eq!(plain.octets() + moved.octets, octets);
        // Behind a run one more is taken at most: the one that is above the budget.
        let mut above = 0;
        while !incoming.is_paused() && let Some((message, _)) = plain.pop() {
            above += 1;
            if !refused(&message) { incoming.push(message); } else { break; }
        }
        let mut ended = false;
        while !one_by_one.is_paused() && !ended && let Some(message) = waiting.pop_front() {
            ended = refused(&message);
            if !ended { one_by_one.push(message); }
        }
        prop_assert!(above <= 1, "{} more", above);
        prop_assert_eq!(incoming.is_paused(), one_by_one.is_paused());
        prop_assert_eq!(incoming.is_starved(), one_by_one.is_starved());
        prop_assert_eq!(context.used(), alone.used());
        prop_assert_eq!(plain.messages(), waiting.len());
        while let Some(message) = one_by_one.pop() {
            prop_assert_eq!(incoming.pop(), Some(message));
        }
        prop_assert_eq!(incoming.pop(), None);
    }

    /// C1: and it is read on once for each pause.
    #[test]
    fn a_link_is_left_unread_from_the_limit_and_read_on_from_its_half(
        steps in vec(any::<bool>(), 0..100), limit in 1_usize..12
    ) {
        let limits = Limit { messages: limit, bytes: 1 << 20 };
        let mut incoming = Incoming::new(limits, Context::new().lease());
        let mut paused = false;
        for push in steps {
            match push {
                true => incoming.push(Message::from("one")),
                false => drop(incoming.pop()),
            }
            paused |= incoming.len() >= limit;
            prop_assert_eq!(incoming.is_paused(), paused);
            let rests = incoming.len() >= limit.div_ceil(2) && incoming.len() > 0;
            prop_assert_eq!(incoming.resume(), paused && !rests);
            paused &= rests;
            prop_assert!(!incoming.resume() || paused);
        }
    }

    /// PB09: as with a last value of each key.
    #[test]
    fn of_each_key_the_newest_alone_is_written_in_the_order_of_their_coming(
        pushes in vec((0_u8..5, any::<u8>()), 0..40)
    ) {
        let limit = Limit { messages: 100, bytes: 1 << 20 };
        let mut outgoing = Outgoing::new(limit, true, Context::new().lease());
        let mut newest: Vec<(u8, u8)> = Vec::new();
        for (key, value) in pushes {
            let name = Bytes::from(vec![key]);
            let replaced = newest.iter().position(|(known, _)| *known == key);
            prop_assert_eq!(outgoing.drop_of_key(&name), replaced.is_some());
            if let Some(place) = replaced { newest.remove(place); }
            newest.push((key, value));
            outgoing.push_keyed(name, vec![value].into(), None);
            prop_assert_eq!(outgoing.messages(), newest.len());
        }
        let mut batch = Batch::PLAIN;
        outgoing.take(&mut batch);
        let Batch::Plain(plain) = &mut batch else { unreachable!("nothing is encoded") };
        let plain = plain.made();
        for (_, value) in newest {
            let (message, _) = plain.pop().expect("it waits");
            prop_assert_eq!(&message.first()[..], &[value]);
        }
        prop_assert!(plain.pop().is_none());
    }

    /// C9: one fate for each copy, and whoever waits is woken with the last and not before.
    #[test]
    fn a_receipt_counts_each_copy_once_and_ends_with_the_last(
        fates in vec(0_u8..3, 1..20)
    ) {
        let tally = Tally::new(Arc::default());
        let slips: Vec<Slip> = fates.iter().map(|_| Slip::new(&tally)).collect();
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let mut wanted: BTreeMap<u8, u64> = BTreeMap::new();
        for (slip, fate) in slips.into_iter().zip(&fates) {
            prop_assert!(tally.poll(&mut Task::from_waker(&waker)).is_pending());
            prop_assert_eq!(counter.0.load(Ordering::Relaxed), 0);
            *wanted.entry(*fate).or_default() += 1;
            match fate {
                0 => slip.end(Fate::Written),
                1 => slip.end(Fate::GivenUp(GivenUp::Expired)),
                _ => drop(slip),
            }
        }
        prop_assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        let Poll::Ready(told) = tally.poll(&mut Task::from_waker(&waker)) else {
            return Err(TestCaseError::fail("no copy is left"));
        };
        let count = |reason| told.given_up.iter().filter(|given| **given == reason).count() as u64;
        let of = |fate| wanted.get(&fate).copied().unwrap_or(0);
        prop_assert_eq!(told.written, of(0));
        prop_assert_eq!((count(GivenUp::Expired), count(GivenUp::Closed)), (of(1), of(2)));
    }

    /// A8: however tasks come and go, each wake-up reaches one that still waits, first come first
    /// served, or is told to be passed on.
    #[test]
    fn a_wake_up_is_for_the_first_who_waits_and_is_never_lost(
        steps in vec((0_u8..3, 0_usize..6), 0..80)
    ) {
        let mut waiters = Waiters::default();
        let mut tickets: Vec<Ticket> = (0..6).map(|_| Ticket::default()).collect();
        let counters: Vec<_> = (0..6).map(|_| Arc::new(Counter::default())).collect();
        let (mut queue, mut woken) = (VecDeque::new(), Vec::new());
        for (what, who) in steps {
            match what {
                0 => {
                    waiters.wait(&mut tickets[who], &Waker::from(counters[who].clone()));
                    if !queue.contains(&who) {
                        queue.push_back(who);
                    }
                    woken.retain(|woken| *woken != who);
                }
                1 => {
                    let next = waiters.next(&mut Vec::new());
                    let first = queue.pop_front();
                    prop_assert_eq!(next.is_some(), first.is_some());
                    next.into_iter().for_each(Waker::wake);
                    if let Some(first) = first {
                        prop_assert_eq!(counters[first].0.swap(0, Ordering::Relaxed), 1);
                        woken.push(first);
                    }
                }
                _ => {
                    let had = woken.contains(&who);
                    prop_assert_eq!(waiters.leave(&mut tickets[who]), had);
                    queue.retain(|other| *other != who);
                    woken.retain(|woken| *woken != who);
                }
            }
            prop_assert_eq!(tickets[who].is_waiting(), queue.contains(&who) || woken.contains(&who));
        }
        prop_assert!(counters.iter().all(|counter| counter.0.load(Ordering::Relaxed) == 0));
    }
}
