//! Tests of the control frame: golden octets, and what is no control frame.

use std::time::Duration;

use bytes::Bytes;

use super::{
    AT_KIND, Codec, Control, Flags, HEAD, Key, Kind, Name, RequestId, Status, WireError, salvage,
};

fn sample() -> Control {
    Control {
        kind: Kind::Request,
        flags: Flags { idempotent: true },
        codec: Codec::MESSAGE_PACK,
        hops: 8,
        attempt: 2,
        id: RequestId {
            nonce: 0x0102_0304_0506_0708,
            counter: 9,
        },
        sequence: 0,
        epoch: 0xA1A2_A3A4_A5A6_A7A8,
        time_left: Some(Duration::from_millis(5_000)),
        stamp: 0x1122_3344,
        status: Status::OK,
        window: 512,
        window_bytes: 4 << 20,
        service: Name::new("geo").expect("a name"),
        method: Name::new("locate").expect("a name"),
        key: Key::new("k").expect("a key"),
    }
}

#[test]
fn the_octets_are_those_of_the_table() {
    #[rustfmt::skip]
    let golden: Vec<u8> = [
        &[0x01, 0x01, 0x00, 0x01, 0x01, 0x08, 0x00, 0x02][..],
        &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08],
        &[0, 0, 0, 0, 0, 0, 0, 9],
        &[0; 8],
        &[0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8],
        &[0, 0, 0, 0, 0, 0x4C, 0x4B, 0x40],
        &[0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44],
        &[0, 0, 0, 0, 0, 0, 0x02, 0x00],
        &[0, 0, 0, 0, 0, 0x40, 0, 0],
        b"\x03geo", b"\x06locate", b"\x00\x01k",
    ].concat();
    assert_eq!(sample().encode(), golden);
    assert_eq!(Control::decode(&golden.into()), Ok(sample()));
}

/// BI-90.
#[test]
fn a_frame_cut_at_any_octet_is_truncated() {
    let whole = sample().encode();
    for length in 0..whole.len() {
        let cut = whole.slice(..length);
        assert_eq!(Control::decode(&cut), Err(WireError::Truncated), "{length}");
    }
}

/// BI-90.
#[test]
fn octets_after_the_key_are_refused() {
    let mut octets = sample().encode().to_vec();
    octets.push(0);
    assert_eq!(Control::decode(&octets.into()), Err(WireError::Trailing));
}

#[test]
fn another_version_is_told_before_anything_else_is_read() {
    assert_eq!(
        Control::decode(&Bytes::from_static(&[0x02])),
        Err(WireError::Version(2))
    );
}

/// BI-90.
#[test]
fn an_unknown_kind_is_told_whatever_follows() {
    for kind in (0x0B..=0xFF).chain([0x00]) {
        let frame = Bytes::copy_from_slice(&[0x01, kind]);
        assert_eq!(Control::decode(&frame), Err(WireError::Kind(kind)));
    }
}

#[test]
fn every_kind_survives() {
    for octet in 0x01..=0x0A {
        let kind = Kind::from_octet(octet).expect("known");
        assert_eq!(kind as u8, octet);
        let control = Control { kind, ..sample() };
        assert_eq!(Control::decode(&control.encode()), Ok(control));
    }
}

/// BI-90: 2^64-1 is no deadline, and what is just below it is a very long one.
#[test]
fn the_longest_times_left_are_told_apart() {
    for (time_left, wire) in [
        (None, u64::MAX),
        (Some(Duration::ZERO), 0),
        (Some(Duration::from_micros(u64::MAX - 1)), u64::MAX - 1),
    ] {
        let control = Control {
            time_left,
            ..sample()
        };
        let frame = control.encode();
        assert_eq!(frame[40..48], wire.to_be_bytes());
        assert_eq!(Control::decode(&frame), Ok(control));
    }
    let beyond = Control {
        time_left: Some(Duration::MAX),
        ..sample()
    };
    assert_eq!(beyond.encode()[40..48], (u64::MAX - 1).to_be_bytes());
}

#[test]
fn flags_and_reserved_octets_of_later_versions_are_ignored() {
    let mut octets = sample().encode().to_vec();
    octets[2] = 0xFF;
    octets[3] = 0xFE;
    octets[58] = 0xFF;
    let control = Control::decode(&octets.into()).expect("readable");
    assert_eq!(
        control,
        Control {
            flags: Flags::default(),
            ..sample()
        }
    );
}

#[test]
fn a_name_that_is_no_utf8_is_refused() {
    let mut octets = sample().encode().to_vec();
    octets[HEAD + 1] = 0xFF;
    assert_eq!(Control::decode(&octets.into()), Err(WireError::Utf8));
}

#[test]
fn names_have_their_limits() {
    assert!(Name::new(vec![b'a'; 255]).is_ok());
    assert!(Name::new(vec![b'a'; 256]).is_err());
    assert!(Key::new(vec![0xFF; 65_535]).is_ok());
    assert!(Key::new(vec![0; 65_536]).is_err());
    let control = Control {
        service: Name::new(vec![b'a'; 255]).expect("a name"),
        key: Key::new(vec![0xFF; 65_535]).expect("a key"),
        ..sample()
    };
    assert_eq!(Control::decode(&control.encode()), Ok(control));
}

#[test]
fn names_share_the_memory_of_the_frame() {
    let frame = sample().encode();
    let control = Control::decode(&frame).expect("readable");
    assert_eq!(
        control.service.as_bytes().as_ptr(),
        frame[HEAD + 1..].as_ptr()
    );
    assert_eq!(
        control.key.as_bytes().as_ptr(),
        frame[frame.len() - 1..].as_ptr()
    );
}

#[test]
fn an_unreadable_request_says_whom_to_answer() {
    let mut octets = sample().encode().to_vec();
    octets[0] = 0x02;
    octets.truncate(24);
    assert_eq!(
        salvage(&octets.clone().into()),
        Some((Kind::Request, sample().id))
    );
    assert_eq!(salvage(&Bytes::copy_from_slice(&octets[..23])), None);
    octets[AT_KIND] = Kind::Error as u8;
    assert_eq!(salvage(&octets.into()), None);
}

/// The worked examples of the page are what this code writes and reads.
#[test]
fn the_examples_of_the_specification_are_read_as_it_says() {
    let page = include_str!("../../../docs/protocol.md");
    let examples: Vec<Vec<Bytes>> = page
        .split("```hex\n")
        .skip(1)
        .map(|rest| frames(rest.split("```").next().unwrap_or_default()))
        .collect();
    let controls: Vec<Control> = examples
        .iter()
        .map(|frames| {
            assert_eq!(frames.len(), 4);
            let control = Control::decode(&frames[1]).expect("an example is readable");
            assert_eq!(control.encode(), frames[1]);
            control
        })
        .collect();
    let said: Vec<_> = controls
        .iter()
        .map(|control| {
            (
                control.kind,
                control.id.counter,
                control.sequence,
                control.window,
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (Kind::Probe, 1, 0, 512),
            (Kind::Hello, 1, 0, 1_000),
            (Kind::Request, 2, 0, 0),
            (Kind::Response, 2, 1, 0),
            (Kind::Error, 3, 2, 0),
            (Kind::Cancel, 2, 0, 0),
            (Kind::Goodbye, 0, 2, 0),
            (Kind::Goodbye, 4, 0, 0),
            (Kind::Hello, 1, 0, 16),
            (Kind::Request, 2, 0, 0),
        ]
    );
    assert_eq!(controls[4].status, Status::HANDLER_ERROR);
    let handed = controls.last().expect("the last is the broker's");
    assert_eq!(handed.time_left, Some(Duration::from_micros(4_999_700)));
    assert_eq!(handed.hops, 7);
    // What their senders write besides is unused: zero, none or empty.
    for (control, names) in [
        (&controls[5], ("locate", "k", controls[2].epoch)),
        (&controls[6], ("", "", controls[2].epoch)),
        (&controls[7], ("", "", 0)),
    ] {
        let (method, key, epoch) = names;
        let written = Control {
            sequence: control.sequence,
            epoch,
            method: Name::new(method).expect("a name"),
            key: Key::new(key).expect("a key"),
            ..Control::new(control.kind, control.id, controls[2].service.clone())
        };
        assert_eq!(*control, written);
    }
}

/// The frames of an example: lines of a frame's number, perhaps an offset, and octets.
fn frames(example: &str) -> Vec<Bytes> {
    let mut frames = vec![Vec::new(); 4];
    for line in example.lines() {
        let octets = line.split(';').next().unwrap_or_default();
        let frame: usize = octets[..1].parse().expect("the number of a frame");
        let octets = octets[4..]
            .split_whitespace()
            .filter(|word| *word != "(empty)");
        frames[frame].extend(octets.map(|octet| u8::from_str_radix(octet, 16).expect("an octet")));
    }
    frames.into_iter().map(Bytes::from).collect()
}
