//! Frames and commands on the wire: flags, lengths, and messages that are whole.

use std::time::Duration;

use futures::FutureExt;
use pushsub::testing::{Listening, dial};
use pushsub::{Message, Options, Pull, Push, Req, SocketType, Sub, XPub};

use super::{
    ROLES, Role, joined, long_frame, meet, message, octets, quiet, settled, shake, sized_frame,
};
use crate::support::peer::{Peer, frame, greeting, ready};
use crate::support::{Result, in_virtual_time, memory_name};

/// Body sizes on both sides of every border of a header.
fn sizes() -> impl Iterator<Item = usize> {
    (0..=300).chain([65_535, 65_536, 65_537])
}

/// Z17, Z20: in the short form as far as it goes, and in the long form for every size.
#[test]
fn frames_of_every_size_are_read_in_either_form() -> Result {
    in_virtual_time(async {
        let pull = Pull::with_options(quiet())?;
        let mut peer = joined(&pull, SocketType::Push).await?;
        for size in sizes() {
            let body = vec![size as u8; size];
            for octets in [sized_frame(0, &body), long_frame(0, &body)] {
                peer.write(&octets).await?;
                assert_eq!(pull.recv().await?.frames(), [&body[..]]);
            }
        }
        Ok(())
    })
}

/// Z17, Z20: the header is two octets up to 255 and nine above.
#[test]
fn frames_of_every_size_are_written_in_the_shorter_form() -> Result {
    in_virtual_time(async {
        let push = Push::with_options(quiet())?;
        let mut peer = joined(&push, SocketType::Pull).await?;
        for size in sizes() {
            let body = vec![size as u8; size];
            push.send(Message::from_frames(vec![body.clone().into(); 2]).expect("two frames"))
                .await?;
            let expected = [sized_frame(1, &body), sized_frame(0, &body)].concat();
            assert_eq!(peer.read(expected.len()).await?, expected, "{size}");
        }
        Ok(())
    })
}

/// Z19, Z20, Z21, PF02: SUBSCRIBE and CANCEL of topics of every size, with no MORE.
#[test]
fn commands_of_every_size_are_written_in_the_shorter_form() -> Result {
    in_virtual_time(async {
        let sub = Sub::with_options(quiet())?;
        let mut peer = joined(&sub, SocketType::Pub).await?;
        for size in 0..=300 {
            let topic = vec![b't'; size];
            for (name, subscribe) in [(&b"\x09SUBSCRIBE"[..], true), (b"\x06CANCEL", false)] {
                match subscribe {
                    true => sub.subscribe(topic.clone()),
                    false => sub.unsubscribe(topic.clone()),
                }
                let expected = sized_frame(4, &[name, &topic].concat());
                assert_eq!(peer.read(expected.len()).await?, expected, "{size}");
            }
        }
        Ok(())
    })
}

/// Z20, PB10: either form of a command is understood, whatever its size.
#[test]
fn commands_of_every_size_are_read_in_either_form() -> Result {
    in_virtual_time(async {
        let publisher = XPub::with_options(quiet())?;
        let mut peer = joined(&publisher, SocketType::Sub).await?;
        for size in 0..=300 {
            let topic = vec![b't'; size];
            let shown = |octet: u8| Message::from([&[octet], &topic[..]].concat());
            for form in [sized_frame, long_frame] {
                peer.write(&form(4, &[b"\x09SUBSCRIBE", &topic[..]].concat()))
                    .await?;
                assert_eq!(publisher.recv().await?, shown(1), "{size}");
                peer.write(&form(4, &[b"\x06CANCEL", &topic[..]].concat()))
                    .await?;
                assert_eq!(publisher.recv().await?, shown(0), "{size}");
            }
        }
        Ok(())
    })
}

/// Z18: each of the 248 octets with a reserved bit, alone or with any others;
/// the message before it is delivered, the one after it is not.
#[test]
fn a_frame_with_any_reserved_bit_closes_the_connection() -> Result {
    in_virtual_time(async {
        for flags in 8..=255 {
            let pull = Pull::with_options(quiet())?;
            let mut peer = joined(&pull, SocketType::Push).await?;
            let said = [
                frame(false, b"before"),
                vec![flags, 0],
                frame(false, b"after"),
            ]
            .concat();
            peer.write(&said).await?;
            peer.read_to_end().await?;
            assert_eq!(pull.recv().await?.first(), "before");
            assert!(pull.try_recv().is_err(), "{flags:#010b}");
        }
        Ok(())
    })
}

/// Z19: in both forms, whatever command it is, known or not.
#[test]
fn a_command_with_more_closes_the_connection() -> Result {
    in_virtual_time(async {
        for body in [&b"\x04PING\0\0"[..], b"\x04PONG", b"\x05OTHER", b""] {
            for octets in [sized_frame(5, body), long_frame(5, body)] {
                let pull = Pull::with_options(quiet())?;
                let mut peer = joined(&pull, SocketType::Push).await?;
                peer.write(&octets).await?;
                assert_eq!(peer.read_to_end().await?, b"");
            }
        }
        Ok(())
    })
}

/// Z17: 63 bits are a length; what has the highest set is none.
#[test]
fn a_length_of_64_bits_closes_the_connection() -> Result {
    in_virtual_time(async {
        let pull = Pull::with_options(quiet().max_message_size(usize::MAX))?;
        for length in [1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX] {
            let mut peer = joined(&pull, SocketType::Push).await?;
            peer.write(&[&[2], &length.to_be_bytes()[..]].concat())
                .await?;
            assert_eq!(peer.read_to_end().await?, b"", "{length}");
        }
        Ok(())
    })
}

/// Z21, H07: a name of any length, with data and without, from peers of 3.0 and
/// of 3.1; between the frames of a message as well.
#[test]
fn a_command_that_is_not_known_is_passed_over() -> Result {
    in_virtual_time(async {
        for minor in [0, 1] {
            let pull = Pull::with_options(quiet())?;
            let mut peer = meet(&pull, Role::Binds).await?;
            shake(&mut peer, SocketType::Push, minor).await?;
            for length in 1..=255 {
                for data in [&b""[..], b"\0", b"data"] {
                    let name = vec![b'N'; usize::from(length)];
                    let unknown = sized_frame(4, &[&[length], &name[..], data].concat());
                    let said = [&frame(true, b"one"), &unknown[..], &frame(false, b"two")].concat();
                    peer.write(&said).await?;
                    assert_eq!(pull.recv().await?.frames(), ["one", "two"]);
                }
            }
        }
        Ok(())
    })
}

/// Z22, C16: messages of 1 to 8 frames of sizes that need either header, cut at
/// every octet; the one before the cut is delivered, the cut one never.
#[test]
fn a_message_of_any_shape_is_whole_or_not_there() -> Result {
    in_virtual_time(async {
        for count in 1..=8 {
            let frames: Vec<Vec<u8>> = (0..count)
                .map(|place| vec![7; (place * 131) % 300])
                .collect();
            let cut = octets(&frames);
            for length in (0..cut.len()).filter(|length| length % count == 0) {
                let pull = Pull::with_options(quiet())?;
                let mut peer = joined(&pull, SocketType::Push).await?;
                peer.write(&[&octets(&["whole"]), &cut[..length]].concat())
                    .await?;
                drop(peer);
                assert_eq!(pull.recv().await?.frames(), ["whole"]);
                super::until(|| pull.stats().peers.is_empty()).await;
                assert!(pull.try_recv().is_err(), "{count} frames cut at {length}");
            }
        }
        Ok(())
    })
}

/// Z22: the frames of a message stand together on the wire, MORE on all but the last.
#[test]
fn a_message_of_any_number_of_frames_is_written_at_one_go() -> Result {
    in_virtual_time(async {
        let push = Push::with_options(quiet())?;
        let mut peer = joined(&push, SocketType::Pull).await?;
        for count in (1..=70).chain([1_023, 1_024]) {
            let frames: Vec<_> = (0..count).map(|place: usize| place.to_string()).collect();
            let sent = frames.iter().cloned().map(Into::into).collect();
            push.send(Message::from_frames(sent).expect("it has frames"))
                .await?;
            let expected = octets(&frames);
            assert_eq!(peer.read(expected.len()).await?, expected, "{count}");
        }
        Ok(())
    })
}

/// Z23: a message that is given up half built, or whose send is, leaves no frame behind.
#[test]
fn of_a_message_that_is_given_up_no_frame_is_on_the_wire() -> Result {
    in_virtual_time(async {
        let options = quiet().send_high_water_mark(2);
        let push = Push::with_options(options)?;
        let mut peer = joined(&push, SocketType::Pull).await?;
        let large = || Message::from_frames(vec![vec![1; 40_000].into(); 3]).expect("three frames");
        let mut accepted = 0;
        let abandoned = Message::from_frames(vec!["half".into(), "built".into()]);
        loop {
            let mut half_built = Message::from("abandoned");
            half_built.push_back("before its end");
            drop(half_built);
            if push.send(large()).now_or_never().is_none() {
                break;
            }
            accepted += 1;
            tokio::task::yield_now().await;
        }
        // It waits for room, and is given up after any number of looks.
        for polls in 1..10 {
            let mut sending = Box::pin(push.send(abandoned.clone().expect("two frames")));
            for _ in 0..polls {
                assert!(futures::poll!(&mut sending).is_pending());
            }
        }
        for _ in 0..accepted {
            assert_eq!(message(&mut peer).await?, vec![vec![1; 40_000]; 3]);
        }
        push.send("end").await?;
        assert_eq!(message(&mut peer).await?, [b"end"]);
        Ok(())
    })
}

/// Z24: at every octet of the first of two messages; what was begun is not
/// written again, what was not begun is written once.
#[test]
fn a_message_that_was_begun_is_not_sent_twice() -> Result {
    in_virtual_time(async {
        for cut in [1, 2, 3, 1_000, 65_535, 65_536, 65_537, 100_000] {
            let name = memory_name();
            let mut listening = Listening::bind(&name)?;
            let push = Push::with_options(quiet())?;
            push.connect(format!("memory://{name}"))?;
            let mut peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
            push.send(vec![1; 1 << 20]).await?;
            push.send("second").await?;
            peer.read(cut).await?;
            drop(peer);
            let mut peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
            assert_eq!(message(&mut peer).await?, [b"second"], "cut at {cut}");
            let sent = push.stats().sent;
            assert_eq!((sent.dropped.cut, sent.written), (1, 1));
            settled(&mut peer).await?;
        }
        Ok(())
    })
}

/// Z25: single frames and many, small and large, in one stream.
#[test]
fn messages_of_all_sizes_stay_in_order() -> Result {
    in_virtual_time(async {
        for role in ROLES {
            let (push, pull) = (Push::with_options(quiet())?, Pull::with_options(quiet())?);
            let name = format!("memory://{}", memory_name());
            match role {
                Role::Binds => {
                    push.bind(&name).await?;
                    pull.connect(&name)?;
                }
                Role::Connects => {
                    pull.bind(&name).await?;
                    push.connect(&name)?;
                }
            }
            let sending = async {
                for number in 0..5_000_usize {
                    let mut sent = Message::from(number.to_string());
                    for place in 0..number % 5 {
                        sent.push_back(vec![0; (number * 7_919 * (place + 1)) % 3_000]);
                    }
                    push.send(sent).await?;
                }
                Result::Ok(())
            };
            let receiving = async {
                for number in 0..5_000_usize {
                    let received = pull.recv().await?;
                    assert_eq!(received.first(), number.to_string().as_bytes());
                    assert_eq!(received.frames().len(), 1 + number % 5);
                }
                Result::Ok(())
            };
            let (sent, received) = tokio::join!(sending, receiving);
            sent?;
            received?;
        }
        Ok(())
    })
}

/// Z30: a READY costs no more than 8 KiB, by its announcement; and no peer of
/// any pattern has longer than the handshake's time.
#[test]
fn before_the_handshake_ends_a_peer_gets_little() -> Result {
    in_virtual_time(async {
        for length in [8_193, 1 << 20, 1 << 40, u64::MAX >> 1] {
            let pull = Pull::with_options(quiet())?;
            let mut peer = meet(&pull, Role::Binds).await?;
            let announced = [&[6], &length.to_be_bytes()[..]].concat();
            peer.write(&[greeting(1), announced].concat()).await?;
            peer.read_to_end().await?;
        }
        let options = Options::default().handshake_timeout(Duration::from_secs(3));
        for role in ROLES {
            let req = Req::with_options(options.clone())?;
            let mut peer = meet(&req, role).await?;
            peer.read(64).await?;
            let silence = Duration::from_millis(2_990);
            assert!(tokio::time::timeout(silence, peer.read(1)).await.is_err());
            peer.read_to_end().await?;
        }
        Ok(())
    })
}

/// Z30: a listener takes two under way; the third is spoken to when one of them has ended.
#[test]
fn a_listener_has_so_many_handshakes_under_way_and_no_more() -> Result {
    in_virtual_time(async {
        let pull = Pull::with_options(quiet().max_half_open(2))?;
        let name = memory_name();
        pull.bind(format!("memory://{name}")).await?;
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(Peer::new(dial(&name)?));
        }
        for peer in &mut peers[..2] {
            peer.read(64).await?;
        }
        let moment = Duration::from_secs(1);
        let early = tokio::time::timeout(moment, peers[2].read(1)).await;
        assert!(early.is_err());
        let theirs = [greeting(1), ready("PUSH", b"")].concat();
        peers[0].write(&theirs).await?;
        assert_eq!(peers[2].read(64).await?.len(), 64);
        Ok(())
    })
}

/// Z16: whoever is one too many is closed without a word, and nobody else is.
#[test]
fn who_is_over_a_limit_is_closed_without_a_word() -> Result {
    in_virtual_time(async {
        for limit in 1..5 {
            let pull = Pull::with_options(quiet().max_connections(limit))?;
            let name = memory_name();
            pull.bind(format!("memory://{name}")).await?;
            let mut peers = Vec::new();
            for _ in 0..limit {
                peers.push(Peer::shaken(dial(&name)?, "PUSH", 1).await?);
            }
            for _ in 0..3 {
                assert_eq!(Peer::new(dial(&name)?).read_to_end().await?, b"");
            }
            for peer in &mut peers {
                settled(peer).await?;
            }
        }
        Ok(())
    })
}
