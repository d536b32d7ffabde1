//! Encoded messages: what is written, what dies with a link, what memory they hold.

use super::{Encoded, Progress, SHARED_FROM};
use crate::message::Message;

fn wire(batch: &Encoded) -> Vec<u8> {
    let mut slices = [std::io::IoSlice::new(&[]); 64];
    let count = batch.slices(&mut slices);
    slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

fn small(text: &'static str) -> Message {
    Message::from(text)
}

fn large(octet: u8) -> Message {
    let mut message = Message::from(vec![octet; SHARED_FROM + 7]);
    message.push_front("topic");
    message
}

#[test]
fn messages_of_any_size_leave_in_the_order_they_came() {
    let mut batch = Encoded::default();
    batch.push(&small("a"));
    batch.push(&large(7));
    batch.push(&small("b"));
    let octets = wire(&batch);
    assert_eq!(octets.len(), batch.octets());
    assert!(octets.starts_with(&[0, 1, b'a', 1, 5]));
    assert!(octets.ends_with(&[7, 7, 0, 1, b'b']));
}

#[test]
fn a_write_of_any_length_counts_exactly_the_whole_messages() {
    for cut in 0..=6 {
        let mut batch = Encoded::default();
        batch.push(&small("a"));
        batch.push(&small("b"));
        assert_eq!(
            batch.advance(cut),
            Progress {
                messages: cut / 3,
                octets: cut,
                // The arena is one piece, and given back as one.
                freed: cut / 3 * super::ENTRY + cut / 6 * 6,
            }
        );
        assert_eq!(batch.messages(), 2 - cut / 3);
        assert_eq!(batch.octets(), 6 - cut);
    }
}

#[test]
fn a_message_begun_dies_with_its_link_and_the_rest_lives_on() {
    let whole = SHARED_FROM + 7;
    for cut in 0..whole {
        let mut batch = Encoded::default();
        batch.push(&small("a"));
        batch.push(&large(7));
        batch.push(&small("b"));
        batch.advance(cut);
        let (rest, died) = batch.into_unwritten();
        let expected = match cut {
            0 => (3, 0),
            1 | 2 => (2, 1),
            3 => (2, 0),
            _ => (1, 1),
        };
        assert_eq!((rest.messages(), died), expected, "cut at {cut}");
        assert!(wire(&rest).ends_with(&[0, 1, b'b']));
    }
}

/// BI-63.
#[test]
fn a_large_frame_counts_whole_until_its_last_octet_is_written() {
    let mut batch = Encoded::default();
    batch.push(&large(7));
    let (octets, pinned) = (batch.octets(), batch.pinned());
    assert_eq!(batch.advance(octets - 1).freed, 0);
    assert_eq!(batch.pinned(), pinned);
    assert_eq!(batch.advance(1).freed, pinned);
    assert_eq!(batch.pinned(), 0);
}

/// BI-55: small messages share a piece, large ones have their own.
#[test]
fn commands_wait_for_the_message_that_is_begun_and_no_other() {
    let messages = [Message::from("one"), large(7), Message::from("two")];
    let mut plain = Encoded::default();
    for message in &messages {
        plain.push(message);
    }
    let plain = wire(&plain);
    // Where each message ends.
    let ends = [5, plain.len() - 5, plain.len()];
    for cut in 0..plain.len() {
        let mut batch = Encoded::default();
        for message in &messages {
            batch.push(message);
        }
        batch.advance(cut);
        batch.push_commands_front(b"PONG".to_vec());
        let end = ends.into_iter().find(|end| cut == 0 || cut <= *end);
        let end = if cut == 0 { 0 } else { end.unwrap() };
        let wanted = [&plain[cut..end], b"PONG", &plain[end..]].concat();
        assert_eq!(wire(&batch), wanted, "at {cut}");
        assert_eq!(batch.octets(), wanted.len());
        let (rest, _) = batch.into_unwritten();
        assert_eq!(wire(&rest), plain[end..], "at {cut}");
    }
}

/// BI-55: the index counts messages of one size together, and tells them apart where commands go between.
#[test]
fn commands_go_behind_the_first_of_many_that_are_alike_if_it_is_begun() {
    let alike = [0, 1, b'a'].repeat(4);
    for cut in 0..alike.len() {
        let mut batch = Encoded::default();
        for _ in 0..4 {
            batch.push(&small("a"));
        }
        batch.advance(cut);
        batch.push_commands_front(b"PONG".to_vec());
        let end = cut.next_multiple_of(3);
        let wanted = [&alike[cut..end], b"PONG", &alike[end..]].concat();
        assert_eq!(wire(&batch), wanted, "at {cut}");
        for step in 1..=wanted.len() {
            let done = batch.advance(1);
            let at = cut + step;
            let commands = if at > end { 4 } else { 0 };
            let inside = (end + 1..end + 4).contains(&at);
            let ends = !inside && (at - commands).is_multiple_of(3) && at != end + 4;
            assert_eq!(
                done.messages,
                usize::from(ends),
                "octet {at} of a cut at {cut}"
            );
        }
        assert_eq!((batch.messages(), batch.octets()), (0, 0));
    }
}

#[test]
fn commands_go_first_and_are_not_carried_to_the_next_link() {
    let mut batch = Encoded::default();
    batch.push(&small("a"));
    batch.push_commands_front(vec![4, 1, 0]);
    assert_eq!(wire(&batch), [4, 1, 0, 0, 1, b'a']);
    let (rest, died) = batch.into_unwritten();
    assert_eq!((wire(&rest), died), (vec![0, 1, b'a'], 0));
}

#[test]
fn what_is_dropped_from_the_front_leaves_no_memory_behind() {
    let mut batch = Encoded::default();
    assert!(!batch.drop_first());
    for _ in 0..10_000 {
        batch.push(&Message::from(vec![1; 1_000]));
        batch.push(&large(2));
        while batch.messages() > 3 {
            assert!(batch.drop_first());
        }
    }
    assert!(batch.arena.capacity() < 4 * super::ARENA_KEPT);
    assert_eq!(wire(&batch).len(), batch.octets());
}

/// Otherwise the system would have its pages back as soon as each burst is written.
#[test]
fn memory_that_bursts_fill_is_kept_until_a_hundred_have_not() {
    let mut batch = Encoded::default();
    let mut burst = |messages| {
        for _ in 0..messages {
            batch.push(&Message::from(vec![1; 1_000]));
        }
        batch.advance(batch.octets());
        batch.arena.capacity() > super::ARENA_KEPT
    };
    assert!(!burst(200));
    assert!(burst(1_000));
    assert!((1..100).all(|_| burst(10)));
    assert!(!burst(10));
}

#[test]
fn what_came_later_is_appended_behind() {
    let mut batch = Encoded::default();
    batch.push(&small("a"));
    batch.advance(3);
    batch.push(&small("b"));
    let mut later = Encoded::default();
    later.push(&small("c"));
    later.push(&large(1));
    batch.append(later);
    assert_eq!(batch.messages(), 3);
    assert!(wire(&batch).starts_with(&[0, 1, b'b', 0, 1, b'c', 1, 5]));
    assert_eq!(wire(&batch).len(), batch.octets());
}
