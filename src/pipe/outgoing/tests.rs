//! Its limits, what it holds, and what becomes of its memory.

use super::Outgoing;
use crate::context::Context;
use crate::message::Message;
use crate::options::Limit;
use crate::pipe::batch::Batch;
use crate::pipe::encoded::Encoded;
use crate::pipe::parcel::Parcel;

fn encoded(batch: &mut Batch) -> &mut Encoded {
    match batch {
        Batch::Encoded(encoded) => encoded.made(),
        Batch::Plain(_) => unreachable!("the pipe encodes"),
    }
}

fn filled(limit: Limit, offered: usize) -> (Outgoing, usize) {
    let mut outgoing = Outgoing::new(limit, false, Context::new().lease());
    let mut accepted = 0;
    for _ in 0..offered {
        if outgoing.has_room() {
            outgoing.push(Parcel::Whole(&mut Some(Message::from("12345678"))));
            accepted += 1;
        }
    }
    (outgoing, accepted)
}

const FIVE: Limit = Limit {
    messages: 5,
    bytes: 1 << 20,
};

/// C1.
#[test]
fn it_accepts_as_many_messages_as_its_limit_and_no_more() {
    let (_, accepted) = filled(FIVE, 9);
    assert_eq!(accepted, 5);
}

/// What has room goes in, and what goes in when it is asked one by one is no less.
#[test]
fn the_room_that_is_told_is_there_and_ends_before_a_write_is_full() {
    let limit = Limit {
        messages: 100,
        bytes: 5_000,
    };
    for (held, write) in [(0, 600), (3, 600), (40, 600), (99, 8_000), (100, 8_000)] {
        let (mut outgoing, _) = filled(limit, held);
        let (messages, octets) = outgoing.room(write);
        let message = Message::from("12345678");
        let cost = outgoing.cost((&message).into());
        for _ in 0..messages.min(octets / cost) {
            assert!(outgoing.has_room() && !outgoing.fills_a_write(write));
            outgoing.follow((&message).into());
        }
        assert!(
            held > 39 || !outgoing.fills_a_write(write),
            "{held} of 10 octets"
        );
    }
}

#[test]
fn what_is_being_written_takes_no_room_that_would_be_missed() {
    let limit = Limit {
        messages: 2,
        bytes: 1 << 20,
    };
    let (mut outgoing, _) = filled(limit, 2);
    assert!(!outgoing.has_room_behind_a_write(), "nobody writes");
    let mut batch = Batch::ENCODED;
    assert!(outgoing.take(&mut batch));
    for _ in 0..2 {
        assert!(!outgoing.has_room());
        assert!(outgoing.has_room_behind_a_write());
        outgoing.push(Parcel::Whole(&mut Some(Message::from("12345678"))));
    }
    assert!(!outgoing.has_room_behind_a_write(), "as many wait");
    outgoing.set_writing(false);
    assert!(!outgoing.has_room_behind_a_write());
    let octets = encoded(&mut batch).octets();
    outgoing.written(encoded(&mut batch).advance(octets));
    assert_eq!(outgoing.messages(), 2);
}

/// C2.
#[test]
fn it_accepts_until_its_octets_are_reached() {
    let (_, accepted) = filled(
        Limit {
            messages: 100,
            bytes: 25,
        },
        9,
    );
    assert_eq!(accepted, 3, "10 octets each on the wire");
}

#[test]
fn an_empty_one_admits_a_message_of_any_size() {
    let mut outgoing = Outgoing::new(
        Limit {
            messages: 1,
            bytes: 1,
        },
        false,
        Context::new().lease(),
    );
    assert!(outgoing.has_room());
    outgoing.push(Parcel::Whole(&mut Some(Message::from(
        "much more than one octet",
    ))));
    assert!(!outgoing.has_room());
}

#[test]
fn what_a_writer_took_counts_until_it_is_written() {
    let (mut outgoing, _) = filled(
        Limit {
            messages: 2,
            bytes: 1 << 20,
        },
        2,
    );
    let mut batch = Batch::ENCODED;
    assert!(outgoing.take(&mut batch));
    assert!(!outgoing.has_room());
    let progress = encoded(&mut batch).advance(10);
    outgoing.written(progress);
    assert!(outgoing.has_room());
    assert_eq!(outgoing.messages(), 1);
}

#[test]
fn after_a_cut_the_unwritten_goes_before_what_came_since() {
    let (mut outgoing, _) = filled(FIVE, 0);
    for text in ["one", "two"] {
        outgoing.push(Parcel::Whole(&mut Some(Message::from(text))));
    }
    let mut batch = Batch::ENCODED;
    outgoing.take(&mut batch);
    let progress = encoded(&mut batch).advance(2);
    outgoing.written(progress);
    outgoing.push(Parcel::Whole(&mut Some(Message::from("three"))));
    assert_eq!(outgoing.restore(batch), 1);
    assert_eq!(outgoing.messages(), 2);
    let mut next = Batch::ENCODED;
    outgoing.take(&mut next);
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let count = encoded(&mut next).slices(&mut slices);
    let octets: Vec<u8> = slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    assert_eq!(octets, b"\0\x03two\0\x05three");
}

#[test]
fn what_comes_next_has_the_memory_of_what_was_written() {
    let (mut outgoing, _) = filled(FIVE, 5);
    let mut batch = Batch::ENCODED;
    let mut places = Vec::new();
    for _ in 0..3 {
        outgoing.push(Parcel::Whole(&mut Some(Message::from("12345678"))));
        assert!(outgoing.take(&mut batch));
        places.push(encoded(&mut batch).only_slice().map(<[u8]>::as_ptr));
        let octets = encoded(&mut batch).octets();
        outgoing.written(encoded(&mut batch).advance(octets));
        outgoing.reuse(&mut batch);
    }
    assert_eq!(places, [places[0]; 3]);
}

/// One of them would keep it otherwise, as nothing that counts its uses sees it.
#[test]
fn memory_of_large_bursts_is_given_back_behind_small_ones_whoever_has_it() {
    let (mut outgoing, _) = filled(FIVE, 0);
    let mut batch = Batch::ENCODED;
    let write = |outgoing: &mut Outgoing, batch: &mut Batch| {
        let octets = encoded(batch).octets();
        outgoing.written(encoded(batch).advance(octets));
        outgoing.reuse(batch);
    };
    let large = || Message::from(vec![7; 4 << 10]);
    for _ in 0..2 {
        for _ in 0..100 {
            outgoing.push(Parcel::Whole(&mut Some(large())));
        }
        if !batch.is_empty() {
            write(&mut outgoing, &mut batch);
        }
        outgoing.take(&mut batch);
    }
    write(&mut outgoing, &mut batch);
    assert!(outgoing.waiting.keeps_much() && batch.keeps_much());
    for _ in 0..250 {
        outgoing.push(Parcel::Whole(&mut Some(Message::from("12345678"))));
        outgoing.take(&mut batch);
        write(&mut outgoing, &mut batch);
    }
    assert!(!outgoing.waiting.keeps_much() && !batch.keeps_much());
}

#[test]
fn what_waits_while_another_is_written_stays_where_it_is() {
    let (mut outgoing, _) = filled(FIVE, 2);
    let mut batch = Batch::ENCODED;
    outgoing.take(&mut batch);
    outgoing.push(Parcel::Whole(&mut Some(Message::from("12345678"))));
    for octets in [10, 10] {
        outgoing.written(encoded(&mut batch).advance(octets));
        outgoing.reuse(&mut batch);
    }
    assert_eq!(outgoing.messages(), 1);
    assert!(outgoing.take(&mut batch));
    assert_eq!(batch.messages(), 1);
}

/// There may be no other for long.
#[test]
fn with_its_connection_goes_the_memory_of_what_was_written() {
    let (mut outgoing, _) = filled(FIVE, 5);
    let mut batch = Batch::ENCODED;
    assert!(outgoing.take(&mut batch));
    let octets = encoded(&mut batch).octets();
    outgoing.written(encoded(&mut batch).advance(octets));
    assert_eq!(outgoing.restore(batch), 0);
    assert!(matches!(&outgoing.waiting, Batch::Encoded(none) if none.get().is_none()));
}
