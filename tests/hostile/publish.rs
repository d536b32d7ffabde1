//! Subscriptions without end, cancels of nothing, subscribers that never read or are gone.

use std::time::Duration;

use futures::StreamExt;
use pushsub::{Event, LinkError, Message, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use crate::support::octets::{MORE, command, frame, greeting_of, ping, ready, session};
use crate::support::stage::{Fate, Side, Stage, options, read_frame};
use crate::support::tally::Row;
use crate::support::victim::{Victim, soon};
use crate::support::wage::{Attack, war};
use crate::support::{Result, in_virtual_time, settle};

const PUBLISHERS: &[SocketType] = &[SocketType::Pub, SocketType::XPub];
const SIDES: [Side; 2] = [Side::Bound, Side::Dials];

/// The longest topic, and the topics of one peer, that are let be.
const TOPIC: usize = 64 << 10;
const TOPICS: u32 = 100_000;

fn attack(name: &str, octets: &[u8], fate: Fate) -> Attack {
    let session = session(SocketType::Sub);
    Attack::new(name, [session, octets.to_vec()].concat(), fate)
}

/// BI-56: cancels of what was never wanted, also of what others want.
#[test]
fn a_cancel_of_nothing_changes_nothing() -> Result {
    war("BI-56", PUBLISHERS, |_| {
        let cancel = |topic: &[u8]| command("CANCEL", topic);
        let wanted = command("SUBSCRIBE", b"canary");
        vec![
            attack("nothing", &cancel(b""), Fate::Ignored),
            attack("the canary's", &cancel(b"canary"), Fate::Ignored),
            attack("a part of it", &cancel(b"can"), Fate::Ignored),
            attack("more than it", &cancel(b"canary 1"), Fate::Ignored),
            attack("the message form", &frame(0, b"\0canary"), Fate::Ignored),
            attack("5,000", &cancel(b"canary").repeat(5_000), Fate::Ignored),
            attack(
                "twice",
                &[wanted, cancel(b"canary").repeat(2)].concat(),
                Fate::Stays,
            ),
            attack(
                "every octet",
                &(0..=255)
                    .flat_map(|octet| cancel(&[octet]))
                    .collect::<Vec<_>>(),
                Fate::Ignored,
            ),
        ]
    })
}

/// BI-64: both forms of a subscription on both versions; what is neither is no subscription.
#[test]
fn both_forms_of_a_subscription_are_understood() -> Result {
    let mut row = Row::new("BI-64");
    let forms: [(&[u8], bool); 6] = [
        (&command("SUBSCRIBE", b"news"), true),
        (&frame(0, b"\x01news"), true),
        (&frame(0, b"\x02news"), false),
        (&frame(0, b"news"), false),
        (&frame(0, b""), false),
        (
            &[frame(MORE, b"\x01news"), frame(0, b"more")].concat(),
            false,
        ),
    ];
    for kind in PUBLISHERS.iter().copied() {
        for side in SIDES {
            for minor in [0, 1] {
                for (octets, understood) in forms {
                    let told = in_virtual_time(understands(kind, side, minor, octets, understood));
                    row.note(format_args!("{kind} {side:?} 3.{minor} {octets:?}"), told);
                }
            }
        }
    }
    row.finish()
}

async fn understands(
    kind: SocketType,
    side: Side,
    minor: u8,
    octets: &[u8],
    understood: bool,
) -> Result {
    let mut stage = Stage::new(kind, side, options()).await?;
    let greeting = greeting_of(3, minor);
    let mut wire = stage
        .peer(&[greeting, ready(SocketType::Sub)].concat())
        .await?;
    wire.write_all(octets).await?;
    stage.victim_has_read(&mut wire).await?;
    stage.victim.try_send(Message::from("news of today"));
    stage.round_trip().await?;
    let heard = timeout(Duration::from_millis(50), read_frame(&mut wire)).await;
    match heard {
        Ok(Ok((0, body))) if understood && body == b"news of today" => Ok(()),
        Err(_) if !understood => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

impl Stage {
    /// Waits until all that was written on this wire has been read.
    pub(crate) async fn victim_has_read(&self, wire: &mut DuplexStream) -> Result {
        wire.write_all(&ping(0, b"read?")).await?;
        loop {
            let (_, body) = soon("a PONG", read_frame(wire)).await??;
            if body == b"\x04PONGread?" {
                return Ok(());
            }
        }
    }
}

/// BI-57: the same topic over and over is a count, and as many cancels end it.
#[test]
fn the_same_topic_over_and_over_is_counted() -> Result {
    let mut row = Row::new("BI-57");
    for side in SIDES {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Pub, side, options()).await?;
            let mut wire = stage.peer(&session(SocketType::Sub)).await?;
            let (times, news) = (20_000, Message::from("news"));
            wire.write_all(&command("SUBSCRIBE", b"news").repeat(times))
                .await?;
            wire.write_all(&command("CANCEL", b"news").repeat(times - 1))
                .await?;
            stage.victim_has_read(&mut wire).await?;
            stage.victim.try_send(news.clone());
            let (_, body) = soon("the news", read_frame(&mut wire)).await??;
            if body != b"news" {
                return Err(format!("{body:?}").into());
            }
            wire.write_all(&command("CANCEL", b"news")).await?;
            stage.victim_has_read(&mut wire).await?;
            let before = stage.victim.stats().unmatched;
            stage.victim.try_send(news);
            if stage.victim.stats().unmatched != before + 1 {
                return Err("it is still subscribed to".into());
            }
            drop(wire);
            stage.finish().await
        });
        row.note(format_args!("{side:?}"), told);
    }
    row.finish()
}

/// BI-58: a peer has so many topics and no more.
#[test]
fn a_peer_with_too_many_topics_is_cut() -> Result {
    let mut row = Row::new("BI-58");
    let told = in_virtual_time(async {
        let mut stage = Stage::new(SocketType::Pub, Side::Bound, options()).await?;
        let mut wire = stage.peer(&session(SocketType::Sub)).await?;
        stage.drain();
        for number in 0..TOPICS {
            let topic = u64::from(number.wrapping_mul(2_654_435_761)).to_be_bytes();
            wire.write_all(&command("SUBSCRIBE", &topic)).await?;
        }
        stage.victim_has_read(&mut wire).await?;
        stage.round_trip().await?;
        let _ = wire.write_all(&command("SUBSCRIBE", b"one more")).await;
        stage.is_cut(&mut wire).await?;
        stage.finish().await
    });
    row.note("100,001", told);
    row.finish()
}

impl Stage {
    /// The wire ends within 100 ms, and the monitor says that the peer broke the rules.
    async fn is_cut(&mut self, wire: &mut DuplexStream) -> Result {
        let limit = Duration::from_millis(100);
        let mut rest = Vec::new();
        let end = timeout(limit, wire.read_to_end(&mut rest)).await;
        end.map_err(|_| "the wire stays open")??;
        match self.link_ends().await? {
            LinkError::Protocol(_) => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    /// Why the next link ends.
    async fn link_ends(&mut self) -> Result<LinkError> {
        let monitor = &mut self.monitor;
        let ending = async {
            loop {
                match monitor.next().await {
                    Some(Event::Disconnected { reason, .. }) => return Ok(reason),
                    Some(_) => {}
                    None => return Err("the monitor has ended".into()),
                }
            }
        };
        timeout(Duration::from_secs(60), ending)
            .await
            .map_err(|_| "no link has ended")?
    }
}

/// BI-59: all peers together have so many octets of topics; who wants more is cut, the others stay.
#[test]
fn all_peers_together_have_a_limit() -> Result {
    let mut row = Row::new("BI-59");
    let told = in_virtual_time(async {
        let mut stage = Stage::new(SocketType::Pub, Side::Bound, options()).await?;
        let mut wires = Vec::new();
        stage.drain();
        let mut topic = vec![0; 60 << 10];
        // Each stays below its own 16 MiB; the fifth is beyond the 64 MiB of all.
        for peer in 0..5_u8 {
            let mut wire = stage.peer(&session(SocketType::Sub)).await?;
            for number in 0..250_u8 {
                topic[0] = peer + 1;
                topic[1] = number;
                if wire.write_all(&command("SUBSCRIBE", &topic)).await.is_err() {
                    break;
                }
            }
            stage.round_trip().await?;
            wires.push(wire);
        }
        settle().await;
        let ended = stage.link_ends().await;
        let live = stage.victim.stats().peers.len();
        // The four, or all five where the last has room for what it said, and the canary.
        if ended.is_ok() && live == 5 {
            return stage.round_trip().await;
        }
        Err(format!("{ended:?}, {live} peers").into())
    });
    row.note("five peers", told);
    row.finish()
}

/// BI-60: a topic has 64 KiB at most; a long one, and a chain of prefixes, cost no stack.
#[test]
fn a_topic_has_its_length() -> Result {
    war("BI-60", PUBLISHERS, |_| {
        let message = |length: usize| {
            let topic = [&[1_u8][..], &vec![b't'; length]].concat();
            frame(0, &topic)
        };
        let chain: Vec<u8> = (1..600)
            .flat_map(|length| frame(0, &vec![1; length]))
            .collect();
        let back: Vec<u8> = (1..600)
            .rev()
            .flat_map(|length| frame(0, &vec![1; length]))
            .collect();
        vec![
            attack("64 KiB", &message(TOPIC), Fate::Stays),
            attack("one more", &message(TOPIC + 1), Fate::Cut),
            attack("1 MiB", &message(1 << 20), Fate::Cut),
            attack("a chain", &chain, Fate::Stays),
            attack("a chain backwards", &back, Fate::Stays),
        ]
    })
}

/// BI-61: a peer that subscribes and cancels for ever leaves an application that does not look the
/// first word and the last of each topic.
#[test]
fn a_peer_that_changes_its_mind_fills_no_queue() -> Result {
    let mut row = Row::new("BI-61");
    for kind in PUBLISHERS.iter().copied() {
        for side in SIDES {
            for topics in [1, 2, 100_u8] {
                let told = in_virtual_time(changes_its_mind(kind, side, topics));
                row.note(format_args!("{kind} {side:?} {topics}"), told);
            }
        }
    }
    row.finish()
}

/// Subscribes to so many topics and cancels them again, in many rounds, and ends subscribed to the even ones.
async fn changes_its_mind(kind: SocketType, side: Side, topics: u8) -> Result {
    let mut stage = Stage::new(kind, side, options()).await?;
    let mut wire = stage.peer(&session(SocketType::Sub)).await?;
    let all = |name: &str, step: usize| -> Vec<u8> {
        let topics = (0..topics).step_by(step);
        topics.flat_map(|topic| command(name, &[topic])).collect()
    };
    let round = [all("SUBSCRIBE", 1), all("CANCEL", 1)].concat();
    for _ in 0..20_000 / usize::from(topics) {
        wire.write_all(&round).await?;
    }
    wire.write_all(&all("SUBSCRIBE", 2)).await?;
    stage.victim_has_read(&mut wire).await?;
    let received = stage.victim.stats().received;
    let most = if kind == SocketType::XPub { 2 } else { 0 };
    if received.queued > most * u64::from(topics) {
        return Err(format!("{received:?}").into());
    }
    let mut last = std::collections::HashMap::new();
    while let Some(news) = stage.victim.try_recv() {
        let frame = news.first();
        let before = last.insert(frame[1], frame[0]);
        if frame[0] == before.unwrap_or(0) {
            return Err(format!("{news:?} after {before:?}").into());
        }
    }
    let wrong = last.iter().find(|(topic, word)| **word != (*topic + 1) % 2);
    if let Some(wrong) = wrong {
        return Err(format!("{wrong:?} in the end").into());
    }
    if last.len() != usize::from(topics) * usize::from(most > 0) {
        return Err(format!("{} topics were told of", last.len()).into());
    }
    stage.round_trip().await
}

/// BI-61: two peers that change their minds about one topic are told of in their order.
#[test]
fn two_peers_of_one_topic_are_told_of_in_their_order() -> Result {
    let mut row = Row::new("BI-61 two");
    let told = in_virtual_time(async {
        let mut stage = Stage::lone(SocketType::XPub, Side::Bound, options()).await?;
        let octets = session(SocketType::Sub);
        let mut wires = [stage.peer(&octets).await?, stage.peer(&octets).await?];
        let mut wanted = [0_u32; 2];
        for number in 0..2_000_usize {
            // In an order that has all there are, and stretches of one peer alone.
            let peer = (number / 7 + number / 64 + number % 2) % 2;
            let wants = wanted[peer] == 0;
            let name = if wants { "SUBSCRIBE" } else { "CANCEL" };
            wires[peer].write_all(&command(name, b"a")).await?;
            stage.victim_has_read(&mut wires[peer]).await?;
            wanted[peer] = u32::from(wants);
        }
        let received = stage.victim.stats().received;
        let books = received.dropped + received.queued;
        if received.received != books || received.dropped == 0 {
            return Err(format!("{received:?}").into());
        }
        // Of one peer the words alternate but where the other has spoken between.
        let (mut first, mut sum) = (None, 0_i64);
        while let Some(news) = stage.victim.try_recv() {
            let word = news.first()[0];
            first.get_or_insert(word);
            sum += if word == 1 { 1 } else { -1 };
        }
        let holds = i64::from(wanted.iter().sum::<u32>() > 0);
        if first != Some(1) || sum != holds {
            return Err(format!("{first:?} first, {sum} in the end, {wanted:?}").into());
        }
        Ok(())
    });
    row.note("a", told);
    row.held(1_999);
    row.finish()
}

/// BI-61, BI-67: a peer with ever new topics waits where nobody looks, and holds its place alone.
#[test]
fn a_peer_with_ever_new_topics_waits() -> Result {
    let mut row = Row::new("BI-61 new");
    for side in SIDES {
        let told = in_virtual_time(async {
            let options = options().receive_high_water_mark(100);
            let mut stage = Stage::new(SocketType::XPub, side, options).await?;
            let mut wire = stage.peer(&session(SocketType::Sub)).await?;
            let topic = |number: u32| command("SUBSCRIBE", &number.to_be_bytes());
            let octets: Vec<u8> = (0..40_000).flat_map(topic).collect();
            let writing = timeout(Duration::from_secs(1), wire.write_all(&octets));
            let blocked = writing.await.is_err();
            let queued = stage.victim.stats().received.queued;
            // One read of the wire, of 128 KiB at most, is kept above the mark.
            if !blocked || queued > 100 + (128 << 10) / 16 {
                return Err(format!("{queued} wait, blocked {blocked}").into());
            }
            stage.round_trip().await
        });
        row.note(format_args!("{side:?}"), told);
    }
    row.finish()
}

/// BI-62: who subscribes and is gone is told of once in each direction, each time.
#[test]
fn each_subscription_that_ends_is_told_once() -> Result {
    let mut row = Row::new("BI-62");
    const TIMES: usize = 500;
    let told = in_virtual_time(async {
        let mut stage = Stage::lone(SocketType::XPub, Side::Bound, options()).await?;
        let mut shown = Vec::new();
        for number in 0..TIMES {
            let mut wire = stage.peer(&session(SocketType::Sub)).await?;
            let topic = format!("topic {number}");
            wire.write_all(&command("SUBSCRIBE", topic.as_bytes()))
                .await?;
            if number % 2 == 0 {
                settle().await;
            }
            drop(wire);
            shown.push(soon("the subscription", stage.victim.recv()).await??);
            shown.push(soon("its end", stage.victim.recv()).await??);
        }
        for (number, pair) in shown.chunks(2).enumerate() {
            let topic = format!("topic {number}");
            let wanted = [format!("\x01{topic}"), format!("\0{topic}")];
            if pair[0].first() != wanted[0].as_bytes() || pair[1].first() != wanted[1].as_bytes() {
                return Err(format!("{pair:?}").into());
            }
        }
        match stage.victim.try_recv() {
            None => Ok(()),
            Some(more) => Err(format!("{more:?} besides").into()),
        }
    });
    row.note("500 of them", told);
    row.held(TIMES - 1);
    row.finish()
}

/// BI-63: subscribers that never read miss what is counted, cost what their mark says, and are cut if so told.
#[test]
fn subscribers_that_never_read_hold_nobody_up() -> Result {
    let mut row = Row::new("BI-63");
    for stall in [None, Some(Duration::from_secs(2))] {
        let told = in_virtual_time(async {
            let options = options()
                .heartbeat_interval(None)
                .send_high_water_mark(50)
                .stall_timeout(stall);
            let mut stage = Stage::new(SocketType::Pub, Side::Bound, options).await?;
            let mut wires = Vec::new();
            for _ in 0..100 {
                let mut wire = stage.peer(&session(SocketType::Sub)).await?;
                wire.write_all(&command("SUBSCRIBE", b"news")).await?;
                stage.victim_has_read(&mut wire).await?;
                wires.push(wire);
            }
            stage.drain();
            let news = Message::from([&b"news"[..], &[0; 1_000]].concat());
            for _ in 0..1_000 {
                stage.victim.try_send(news.clone());
                tokio::task::yield_now().await;
            }
            let stats = stage.victim.stats();
            let slow = stats.peers.iter().filter(|peer| peer.sent.dropped.full > 0);
            let (slow, queued) = (slow.count(), stats.sent.queued);
            if slow != 100 || queued > 100 * 51 {
                return Err(format!("{slow} are slow, {queued} wait").into());
            }
            for _ in 0..20 {
                stage.round_trip().await?;
            }
            stage.all_are_cut(stall).await
        });
        row.note(format_args!("{stall:?}"), told);
        row.held(99);
    }
    row.finish()
}

impl Stage {
    /// Where a stall has a limit, each of the hundred is cut for it, and no one before its time.
    async fn all_are_cut(&mut self, stall: Option<Duration>) -> Result {
        let Some(_) = stall else {
            let early = timeout(Duration::from_secs(50), self.link_ends()).await;
            return early.err().map(drop).ok_or_else(|| "one was cut".into());
        };
        for number in 0..100 {
            let reason = self.link_ends().await?;
            if reason != LinkError::Stalled {
                return Err(format!("the end of {number}: {reason}").into());
            }
        }
        self.round_trip().await
    }
}

/// BI-65: a subscription to a socket that publishes nothing is no message.
#[test]
fn a_subscription_to_who_publishes_nothing_is_passed_over() -> Result {
    let kinds = [
        SocketType::Router,
        SocketType::Rep,
        SocketType::Pull,
        SocketType::Pair,
        SocketType::Dealer,
        SocketType::Push,
        SocketType::Sub,
    ];
    war("BI-65", &kinds, |aim| {
        let attack = |name: &str| {
            let octets = [session(aim.partner()), command(name, b"topic").repeat(3)].concat();
            Attack::new(name, octets, Fate::Ignored)
        };
        ["SUBSCRIBE", "CANCEL", "JOIN", "LEAVE"].map(attack).into()
    })
}

/// BI-66: what subscribers send to a PUB is counted and gone.
#[test]
fn what_is_sent_to_a_pub_is_dropped() -> Result {
    let mut row = Row::new("BI-66");
    for side in SIDES {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Pub, side, options()).await?;
            let mut wire = stage.peer(&session(SocketType::XSub)).await?;
            let message = [frame(MORE, b"upstream"), frame(0, &[7; 50])].concat();
            wire.write_all(&message.repeat(20_000)).await?;
            stage.victim_has_read(&mut wire).await?;
            let received = stage.victim.stats().received;
            if (received.received, received.dropped, received.queued) != (20_000, 20_000, 0) {
                return Err(format!("{received:?}").into());
            }
            drop(wire);
            stage.finish().await
        });
        row.note(format_args!("{side:?}"), told);
    }
    row.finish()
}

/// BI-67: an XPUB whose application never receives makes its peers wait.
#[test]
fn what_is_sent_to_an_xpub_waits_on_its_own_link() -> Result {
    let mut row = Row::new("BI-67");
    for side in SIDES {
        let told = in_virtual_time(async {
            let options = options().receive_high_water_mark(100);
            let mut stage = Stage::lone(SocketType::XPub, side, options).await?;
            let mut wire = stage.peer(&session(SocketType::XSub)).await?;
            let octets = frame(0, &[7; 100]).repeat(20_000);
            let writing = timeout(Duration::from_secs(1), wire.write_all(&octets)).await;
            let queued = stage.victim.stats().received.queued;
            if writing.is_ok() || queued > 100 + (128 << 10) / 102 {
                return Err(format!("{queued} wait").into());
            }
            let Victim::XPub(socket) = &stage.victim else {
                return Err("no XPUB".into());
            };
            for _ in 0..queued {
                soon("what waits", socket.recv()).await??;
            }
            Ok(())
        });
        row.note(format_args!("{side:?}"), told);
    }
    row.finish()
}
