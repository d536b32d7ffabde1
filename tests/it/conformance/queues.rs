//! The queues of every pattern, out and in: their life, their bounds, and whose turn it is.
//!
//! One test for all types that have the rule; the peer is bare, reads or does not, stays or goes.

use pushsub::testing::{Listening, dial};
use pushsub::{
    Dealer, Message, Options, Pair, Pub, Pull, Push, Rep, Router, SocketType, Stats, Sub,
    TrySendError, XPub, XSub,
};
use tokio::time::timeout;

use super::{Socket, message, octets, partner, quiet, settled, until};
use crate::support::peer::{Peer, command};
use crate::support::{Result, assert_accounted, in_virtual_time, memory_name};

/// A socket that sends.
trait Sends: Socket {
    fn offer(&self, message: Message) -> std::result::Result<(), TrySendError>;
}

/// A socket that receives.
trait Receives: Socket {
    fn next(&self) -> Option<Message>;
}

macro_rules! sending {
    ($($type:ident)*) => {
        $(impl Sends for $type {
            fn offer(&self, message: Message) -> std::result::Result<(), TrySendError> {
                self.try_send(message)
            }
        })*

        fn sender(socket_type: SocketType, options: Options) -> Box<dyn Sends> {
            match socket_type {
                $(SocketType::$type => {
                    Box::new($type::with_options(options).expect("options of every type"))
                })*
                _ => unreachable!("it does not send"),
            }
        }
    };
}

macro_rules! receiving {
    ($($type:ident)*) => {
        $(impl Receives for $type {
            fn next(&self) -> Option<Message> {
                self.try_recv().ok()
            }
        })*

        fn receiver(socket_type: SocketType, options: Options) -> Box<dyn Receives> {
            match socket_type {
                $(SocketType::$type => {
                    Box::new($type::with_options(options).expect("options of every type"))
                })*
                SocketType::Rep => Box::new(Rep::with_options(options).expect("the same")),
                _ => unreachable!("it does not receive"),
            }
        }
    };
}

sending!(Pair Pub XPub XSub Push Dealer Router);
receiving!(Pair Sub XPub XSub Pull Dealer Router);

impl Receives for Rep {
    fn next(&self) -> Option<Message> {
        self.try_recv().ok().map(|(request, _)| request)
    }
}

const SENDERS: [SocketType; 7] = [
    SocketType::Push,
    SocketType::Dealer,
    SocketType::Pair,
    SocketType::Router,
    SocketType::Pub,
    SocketType::XPub,
    SocketType::XSub,
];

const RECEIVERS: [SocketType; 8] = [
    SocketType::Pull,
    SocketType::Dealer,
    SocketType::Pair,
    SocketType::Router,
    SocketType::Rep,
    SocketType::Sub,
    SocketType::XSub,
    SocketType::XPub,
];

/// A peer that a socket of this type may send to and receive from, with this identity.
async fn peer_of(
    socket_type: SocketType,
    wire: tokio::io::DuplexStream,
    identity: &[u8],
) -> Result<Peer> {
    let theirs = match socket_type {
        SocketType::Router => SocketType::Dealer,
        _ => partner(socket_type),
    };
    let mut peer = Peer::identified(wire, theirs.name(), 1, identity).await?;
    if matches!(socket_type, SocketType::Pub | SocketType::XPub) {
        peer.write(&command(b"\x09SUBSCRIBE")).await?;
    }
    settled(&mut peer).await?;
    Ok(peer)
}

/// A message to the peer of this identity, as a socket of this type sends it.
fn message_to(socket_type: SocketType, identity: &'static [u8], body: Vec<u8>) -> Message {
    let mut message = Message::from(body);
    if socket_type == SocketType::Router {
        message.push_front(identity);
    }
    message
}

/// A body of which a wire holds six; its number stands in front.
fn large(number: u32) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    // No XSUB may take it for a subscription.
    body[0] = 0xFF;
    body.resize(10_000, 0);
    body
}

fn number(body: &[u8]) -> u32 {
    u32::from_be_bytes([0, body[1], body[2], body[3]])
}

fn waits(socket_type: SocketType) -> bool {
    matches!(
        socket_type,
        SocketType::Push | SocketType::Dealer | SocketType::Pair
    )
}

/// DL01, DL05, RT01, RT10 to RT12, PB01, PB08, PB09, XP01, XP07, XS01, XS03, XS04, PS02, PS04: the
/// first peer reads nothing, the second reads everything and lacks none of what is for it.
#[test]
fn a_peer_that_reads_nothing_keeps_no_other_waiting() -> Result {
    in_virtual_time(async {
        for of in SENDERS.into_iter().filter(|of| *of != SocketType::Pair) {
            let socket = sender(of, quiet().send_high_water_mark(10));
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let _deaf = peer_of(of, dial(&name)?, b"deaf").await?;
            let mut keen = peer_of(of, dial(&name)?, b"keen").await?;
            let for_keen = |stats: &Stats| stats.peers[1].sent.accepted;
            let mut read = 0;
            for sent in 0..300 {
                if of == SocketType::Router {
                    socket.offer(message_to(of, b"deaf", large(sent)))?;
                }
                socket.offer(message_to(of, b"keen", large(sent)))?;
                while read < for_keen(&socket.stats()) {
                    let received = message(&mut keen).await?;
                    assert_eq!((number(&received[0]), received.len()), (sent, 1), "{of}");
                    read += 1;
                }
            }
            let stats = socket.stats();
            assert!(read >= 280, "{of}: {read}");
            assert_eq!(stats.peers[1].sent.dropped.full, 0);
            assert_eq!(stats.peers[0].sent.dropped.full > 0, !waits(of), "{of}");
            assert_accounted(&stats);
        }
        Ok(())
    })
}

/// DL04, DL08, RT06, PB04, XP02, XS01, PS03, PS07, PR05: to the message, whatever the mark.
#[test]
fn a_queue_to_a_peer_holds_its_mark_and_no_more() -> Result {
    in_virtual_time(async {
        for of in SENDERS {
            for mark in [1, 2, 10, 50] {
                let socket = sender(of, quiet().send_high_water_mark(mark));
                let name = memory_name();
                socket.bind(&format!("memory://{name}")).await?;
                let mut peer = peer_of(of, dial(&name)?, b"peer").await?;
                let mut accepted = 0;
                for sent in 0..100 {
                    match socket.offer(message_to(of, b"peer", large(sent))) {
                        Ok(()) => accepted += 1,
                        Err(TrySendError::Full(message)) => {
                            assert_eq!(message.first(), &large(sent));
                        }
                        Err(error) => return Err(error.into()),
                    }
                    tokio::task::yield_now().await;
                }
                let stats = socket.stats();
                assert_eq!(stats.sent.queued, mark as u64, "{of} {mark}");
                assert_eq!(accepted == 100, !waits(of), "{of} {mark}");
                assert_accounted(&stats);
                // What was accepted and not dropped arrives, in order.
                let kept = stats.sent.accepted - stats.sent.dropped.full;
                let mut previous = None;
                for _ in 0..kept {
                    let received = Some(number(&message(&mut peer).await?[0]));
                    assert!(previous < received);
                    previous = received;
                }
                assert_eq!(socket.stats().sent.dropped.full, stats.sent.dropped.full);
            }
        }
        Ok(())
    })
}

/// DL09, PS08, PR04: with a peer that reads now and then, everything that was accepted arrives.
#[test]
fn what_a_waiting_type_accepts_it_does_not_discard() -> Result {
    in_virtual_time(async {
        for of in SENDERS.into_iter().filter(|of| waits(*of)) {
            let socket = sender(of, quiet().send_high_water_mark(3));
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let mut peer = peer_of(of, dial(&name)?, b"peer").await?;
            let (mut sent, mut received) = (0, 0);
            while received < 2_000 {
                while socket.offer(large(sent).into()).is_ok() {
                    sent += 1;
                    tokio::task::yield_now().await;
                }
                for _ in 0..1 + fastrand::u32(..5) {
                    if received < sent {
                        assert_eq!(number(&message(&mut peer).await?[0]), received, "{of}");
                        received += 1;
                    }
                }
            }
            assert_eq!(socket.stats().sent.dropped.total(), 0);
        }
        Ok(())
    })
}

/// DL03, RT03, PB03, XP01, PS02, PR06: what waited for one that was accepted and
/// went is given up and counted; who comes after it, under the same name, gets none of it.
#[test]
fn the_queue_of_an_accepted_peer_goes_with_it() -> Result {
    in_virtual_time(async {
        for of in SENDERS {
            let socket = sender(of, quiet());
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let peer = peer_of(of, dial(&name)?, b"ann").await?;
            for sent in 0..50 {
                socket.offer(message_to(of, b"ann", large(sent)))?;
            }
            drop(peer);
            until(|| socket.stats().peers.iter().all(|peer| !peer.connected)).await;
            let sent = socket.stats().sent;
            assert_eq!(sent.queued, 0, "{of}");
            assert_eq!(
                sent.written + sent.dropped.cut + sent.dropped.discarded,
                50,
                "{of}"
            );
            assert!(sent.dropped.discarded >= 40, "{of}");

            let mut peer = peer_of(of, dial(&name)?, b"ann").await?;
            socket.offer(message_to(of, b"ann", large(99)))?;
            assert_eq!(number(&message(&mut peer).await?[0]), 99, "{of}");
            assert_accounted(&socket.stats());
        }
        Ok(())
    })
}

/// DL02, RT02, PB02, XP01, XS01, PS02, PR02: what waits for an endpoint that was connected
/// waits through the gap between two connections, and goes out in order on the next.
#[test]
fn the_queue_of_a_connected_endpoint_outlives_its_connection() -> Result {
    in_virtual_time(async {
        for of in SENDERS {
            let name = memory_name();
            let mut listening = Listening::bind(&name)?;
            let endpoint = format!("memory://{name}");
            let router = Router::with_options(quiet())?;
            let socket: Box<dyn Sends> = if of == SocketType::Router {
                router.connect_as(endpoint.as_str(), &pushsub::Identity::new("ann")?)?;
                Box::new(router)
            } else {
                let socket = sender(of, quiet());
                socket.connect(&endpoint)?;
                socket
            };
            let mut peer = peer_of(of, listening.accept().await?, b"ann").await?;
            for sent in 0..50 {
                socket.offer(message_to(of, b"ann", large(sent)))?;
            }
            assert_eq!(number(&message(&mut peer).await?[0]), 0);
            drop(peer);
            until(|| !socket.stats().peers[0].connected).await;
            let sent = socket.stats().sent;
            assert!(sent.queued >= 35, "{of}");
            assert_eq!(sent.dropped.total(), sent.dropped.cut);

            let mut peer = match of {
                // It greets and is written to before it has subscribed anew.
                SocketType::Pub => Peer::shaken(listening.accept().await?, "SUB", 1).await?,
                SocketType::XPub => Peer::shaken(listening.accept().await?, "XSUB", 1).await?,
                _ => Peer::shaken(listening.accept().await?, name_of_peer(of), 1).await?,
            };
            let mut expected = 50 - u32::try_from(sent.queued)?;
            while expected < 50 {
                assert_eq!(number(&message(&mut peer).await?[0]), expected, "{of}");
                expected += 1;
            }
            settled(&mut peer).await?;
            assert_accounted(&socket.stats());
        }
        Ok(())
    })
}

fn name_of_peer(socket_type: SocketType) -> &'static str {
    match socket_type {
        SocketType::Router => "DEALER",
        _ => partner(socket_type).name(),
    }
}

/// DL06, PS05, RQ03 by the same turns: of two to six peers each gets every so-manieth message.
#[test]
fn messages_go_to_one_peer_after_the_other() -> Result {
    in_virtual_time(async {
        for of in [SocketType::Push, SocketType::Dealer] {
            for count in 2..=6 {
                let socket = sender(of, quiet());
                let name = memory_name();
                socket.bind(&format!("memory://{name}")).await?;
                let mut peers = Vec::new();
                for _ in 0..count {
                    peers.push(peer_of(of, dial(&name)?, b"").await?);
                }
                for sent in 0..60 {
                    socket.offer(large(sent).into())?;
                }
                let mut turns = Vec::new();
                for peer in &mut peers {
                    let mut numbers = Vec::new();
                    for _ in 0..60 / count {
                        numbers.push(number(&message(peer).await?[0]));
                    }
                    assert!(
                        numbers.windows(2).all(|pair| pair[1] - pair[0] == count),
                        "{of}"
                    );
                    turns.push(numbers[0]);
                }
                turns.sort_unstable();
                assert_eq!(turns, (0..count).collect::<Vec<_>>(), "{of}");
            }
        }
        Ok(())
    })
}

/// A message as the peer of this type of socket sends it.
fn incoming(socket_type: SocketType, body: &[Vec<u8>]) -> Vec<u8> {
    let mut frames = body.to_vec();
    if socket_type == SocketType::Rep {
        frames.insert(0, Vec::new());
    }
    octets(&frames)
}

/// What the application of this type of socket gets of it, without the name of its peer.
fn received(socket_type: SocketType, message: &Message) -> Vec<Vec<u8>> {
    let named = usize::from(socket_type == SocketType::Router);
    message.frames()[named..]
        .iter()
        .map(|frame| frame.to_vec())
        .collect()
}

fn subscribed(of: SocketType, options: Options) -> Box<dyn Receives> {
    match of {
        SocketType::Sub => {
            let sub = Sub::with_options(options).expect("options of every type");
            sub.subscribe("");
            Box::new(sub)
        }
        _ => receiver(of, options),
    }
}

/// A bare peer of a receiving socket: its handshake, and no word more.
async fn writer(of: SocketType, name: &str) -> Result<Peer> {
    let mut peer = Peer::shaken(dial(name)?, name_of_peer(of), 1).await?;
    if of == SocketType::Sub {
        assert_eq!(peer.frame().await?, (4, b"\x09SUBSCRIBE".to_vec()));
    }
    settled(&mut peer).await?;
    Ok(peer)
}

/// DL10, RT07, RP02, SB03, XP03, PL03: of three peers that have all sent much,
/// any three messages in a row are one of each.
#[test]
fn messages_are_received_from_one_peer_after_the_other() -> Result {
    in_virtual_time(async {
        for of in RECEIVERS.into_iter().filter(|of| *of != SocketType::Pair) {
            let socket = subscribed(of, quiet());
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let mut peers = Vec::new();
            for from in 0..3 {
                let mut peer = writer(of, &name).await?;
                let said = incoming(of, &[vec![b'a' + from]]).repeat(100);
                peer.write(&said).await?;
                settled(&mut peer).await?;
                peers.push(peer);
            }
            for _ in 0..100 {
                let mut three: Vec<_> = (0..3).filter_map(|_| socket.next()).collect();
                three.sort_by_key(|message| received(of, message));
                let senders: Vec<_> = three.iter().map(|message| received(of, message)).collect();
                assert_eq!(senders, [[b"a"], [b"b"], [b"c"]], "{of}");
            }
            assert!(socket.next().is_none());
        }
        Ok(())
    })
}

/// DL11, RP08, SB04, XP04, PL04: whatever octets a message begins with, with
/// empty frames in any place, alone or among others, it comes out as it was put in.
#[test]
fn everything_is_delivered_and_nothing_is_modified() -> Result {
    in_virtual_time(async {
        let mut bodies: Vec<Vec<Vec<u8>>> = (0..=255).map(|octet| vec![vec![octet]]).collect();
        bodies.push(vec![vec![]]);
        for shape in 0_usize..32 {
            let frames = (0..5).map(|place| vec![7; 300 * (shape >> place & 1)]);
            bodies.push(frames.collect());
        }
        for of in RECEIVERS {
            let socket = subscribed(of, quiet());
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let mut peer = writer(of, &name).await?;
            let is_subscription =
                |body: &[Vec<u8>]| body.len() == 1 && matches!(body[0][..], [0 | 1, ..]);
            for body in &bodies {
                if of == SocketType::XPub && is_subscription(body) {
                    continue;
                }
                peer.write(&incoming(of, body)).await?;
                settled(&mut peer).await?;
                let message = socket.next().ok_or("nothing came")?;
                assert_eq!(&received(of, &message), body, "{of}");
            }
            assert_eq!(socket.stats().received.dropped, 0);
        }
        Ok(())
    })
}

/// PB06, XP07, RT09, XS02, DL08: what is sent is on the wire as it was given, all frames of it.
#[test]
fn what_is_sent_is_not_modified() -> Result {
    in_virtual_time(async {
        for of in SENDERS {
            let socket = sender(of, quiet());
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let mut peer = peer_of(of, dial(&name)?, b"ann").await?;
            for shape in 0_usize..64 {
                let frames: Vec<_> = (0..6)
                    .map(|place| vec![9; 300 * (shape >> place & 1)])
                    .collect();
                let mut sent =
                    Message::from_frames(frames.iter().cloned().map(Into::into).collect())
                        .ok_or("it has frames")?;
                if of == SocketType::Router {
                    sent.push_front("ann");
                }
                socket.offer(sent)?;
                assert_eq!(message(&mut peer).await?, frames, "{of}");
            }
        }
        Ok(())
    })
}

/// DL04, RT06, XP02, SB01, SB02, PL05, PR05: nobody receives, and the peer goes on; what
/// is held is bounded, the peer is left unread, and in the end nothing is missing.
#[test]
fn a_peer_that_is_not_received_from_is_left_unread() -> Result {
    const COUNT: u32 = 500;
    in_virtual_time(async {
        for of in RECEIVERS {
            let socket = subscribed(of, quiet().receive_high_water_mark(10));
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let mut peer = writer(of, &name).await?;
            let writing = tokio::spawn(async move {
                for sent in 0..COUNT {
                    peer.write(&incoming(of, &[large(sent)]))
                        .await
                        .expect("it is read in the end");
                }
                peer
            });
            let moment = std::time::Duration::from_millis(10);
            assert!(timeout(moment, std::future::pending::<()>()).await.is_err());
            assert!(!writing.is_finished());
            let queued = socket.stats().received.queued;
            assert!((10..=40).contains(&queued), "{of}: {queued}");
            for expected in 0..COUNT {
                let message = loop {
                    if let Some(message) = socket.next() {
                        break message;
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!(number(&received(of, &message)[0]), expected, "{of}");
            }
            writing.await?;
        }
        Ok(())
    })
}

/// PL02, SB01, DL03, RT03: what had come from a peer is received when it is long gone.
#[test]
fn what_has_come_from_a_peer_that_went_is_received() -> Result {
    in_virtual_time(async {
        for of in RECEIVERS.into_iter().filter(|of| *of != SocketType::Rep) {
            let socket = subscribed(of, quiet());
            let name = memory_name();
            socket.bind(&format!("memory://{name}")).await?;
            let mut peer = writer(of, &name).await?;
            for sent in 0..5 {
                peer.write(&incoming(of, &[large(sent)])).await?;
            }
            settled(&mut peer).await?;
            drop(peer);
            until(|| socket.stats().peers.iter().all(|peer| !peer.connected)).await;
            for expected in 0..5 {
                let message = socket.next().ok_or("it is lost")?;
                assert_eq!(number(&received(of, &message)[0]), expected, "{of}");
            }
            assert!(socket.next().is_none());
            assert!(socket.stats().peers.is_empty());
            assert_accounted(&socket.stats());
        }
        Ok(())
    })
}
