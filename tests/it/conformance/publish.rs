//! Topics between publishers and subscribers: what matches, what counts, what is told to whom.

use pushsub::testing::{Listening, dial};
use pushsub::{Message, Pub, SocketType, Sub, XPub, XSub};

use super::{joined, message, octets, quiet, settled, until};
use crate::support::peer::{Peer, command};
use crate::support::{Result, assert_accounted, in_virtual_time, memory_name};

/// All words of these letters of up to so many letters.
fn words(letters: &[u8], longest: u32) -> Vec<Vec<u8>> {
    let mut words = vec![Vec::new()];
    let mut last = words.clone();
    for _ in 0..longest {
        let longer = last.iter().flat_map(|word: &Vec<u8>| {
            letters
                .iter()
                .map(move |letter| [&word[..], &[*letter]].concat())
        });
        last = longer.collect();
        words.extend_from_slice(&last);
    }
    words
}

fn subscribe(topic: &[u8]) -> Vec<u8> {
    command(&[b"\x09SUBSCRIBE", topic].concat())
}

fn cancel(topic: &[u8]) -> Vec<u8> {
    command(&[b"\x06CANCEL", topic].concat())
}

/// PB07, PF01, SB07, XP07: each of 40 topics against each of 121 first frames, of
/// octets that a comparison might trip over; the second frame is never looked at.
#[test]
fn a_topic_is_a_prefix_of_the_first_frame() -> Result {
    in_virtual_time(async {
        let letters = [0x00, b'a', 0xFF];
        let frames = words(&letters, 4);
        for topic in words(&letters, 3) {
            let publisher = XPub::with_options(quiet())?;
            let mut peer = joined(&publisher, SocketType::Sub).await?;
            peer.write(&subscribe(&topic)).await?;
            settled(&mut peer).await?;
            for frame in &frames {
                let mut sent = Message::from(frame.clone());
                sent.push_back(topic.clone());
                publisher.send(sent).await?;
            }
            publisher.send([&topic[..], b"end"].concat()).await?;
            for frame in frames.iter().filter(|frame| frame.starts_with(&topic)) {
                assert_eq!(message(&mut peer).await?, [&frame[..], &topic]);
            }
            assert_eq!(message(&mut peer).await?, [[&topic[..], b"end"].concat()]);
        }
        Ok(())
    })
}

/// PB10, SB05, XP05: random subscriptions and cancels, in both forms, against a
/// count for each topic; after each the publications that match it arrive, once, and no other.
#[test]
fn subscribing_and_cancelling_count_in_their_order() -> Result {
    in_virtual_time(async {
        let publisher = XPub::with_options(quiet())?;
        let mut peer = joined(&publisher, SocketType::Sub).await?;
        let topics = words(b"ab", 2);
        let mut counts = vec![0_u32; topics.len()];
        let mut random = fastrand::Rng::with_seed(29);
        for _ in 0..3_000 {
            let place = random.usize(..topics.len());
            let (topic, count) = (&topics[place], &mut counts[place]);
            let before = *count > 0;
            let wants = random.bool();
            *count = if wants {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
            let as_message = random.bool();
            peer.write(&match (wants, as_message) {
                (true, false) => subscribe(topic),
                (false, false) => cancel(topic),
                (_, true) => octets(&[[&[u8::from(wants)], &topic[..]].concat()]),
            })
            .await?;
            settled(&mut peer).await?;
            let shown = publisher
                .try_recv()
                .ok()
                .map(|message| message.first().clone());
            let news =
                (before != (counts[place] > 0)).then(|| [&[u8::from(wants)], &topic[..]].concat());
            assert_eq!(shown.as_deref(), news.as_deref());
            for frame in &topics {
                publisher.send(frame.clone()).await?;
                let wanted =
                    |(topic, count): (&Vec<u8>, &u32)| *count > 0 && frame.starts_with(topic);
                if topics.iter().zip(&counts).any(wanted) {
                    assert_eq!(message(&mut peer).await?, [&frame[..]]);
                }
            }
            settled(&mut peer).await?;
        }
        Ok(())
    })
}

/// PB10, PB11: a PUB heeds them as well, and counts none of them as a message.
#[test]
fn a_pub_heeds_subscriptions_and_keeps_them_to_itself() -> Result {
    in_virtual_time(async {
        let publisher = Pub::with_options(quiet())?;
        let mut peer = joined(&publisher, SocketType::Sub).await?;
        for topic in words(b"xyz", 3) {
            peer.write(&subscribe(&topic)).await?;
            settled(&mut peer).await?;
            publisher.send(topic.clone()).await?;
            assert_eq!(message(&mut peer).await?, [&topic[..]]);
            peer.write(&cancel(&topic)).await?;
            settled(&mut peer).await?;
            publisher.send(topic).await?;
            settled(&mut peer).await?;
        }
        assert_eq!(publisher.stats().received.received, 0);
        Ok(())
    })
}

/// XP06, SB05: topics that are wanted once or many times, by one peer or by
/// two; the first to go takes its own along, the last ends each topic once.
#[test]
fn who_goes_has_cancelled_everything() -> Result {
    in_virtual_time(async {
        let publisher = XPub::with_options(quiet())?;
        let name = memory_name();
        publisher.bind(format!("memory://{name}")).await?;
        let topics = words(b"ab", 5);
        let mut peers = Vec::new();
        for times in 1..=2 {
            let mut peer = Peer::shaken(dial(&name)?, "SUB", 1).await?;
            for topic in &topics {
                peer.write(&subscribe(topic).repeat(times)).await?;
            }
            settled(&mut peer).await?;
            peers.push(peer);
        }
        for topic in &topics {
            assert_eq!(
                publisher.recv().await?.first()[..],
                [&[1], &topic[..]].concat()
            );
        }
        peers.pop();
        until(|| {
            publisher
                .stats()
                .peers
                .iter()
                .filter(|peer| peer.connected)
                .count()
                == 1
        })
        .await;
        assert!(
            publisher.try_recv().is_err(),
            "the other one still wants all"
        );
        drop(peers);
        let mut ended = Vec::new();
        for _ in &topics {
            ended.push(publisher.recv().await?.first()[1..].to_vec());
        }
        ended.sort();
        let mut expected = topics.clone();
        expected.sort();
        assert_eq!(ended, expected);
        assert!(publisher.try_recv().is_err());
        publisher.send("a").await?;
        assert_eq!(publisher.stats().unmatched, 1);
        Ok(())
    })
}

/// SB06, PF02, PF03: on each of many connections, to publishers of either
/// version: all that is wanted at that time, each topic once, and nothing else.
#[test]
fn each_new_connection_hears_what_is_wanted_then() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let sub = Sub::with_options(quiet())?;
        sub.connect(format!("memory://{name}"))?;
        let topics = words(b"ab", 3);
        for round in 0..topics.len() {
            sub.subscribe(topics[round].clone());
            sub.subscribe(topics[round].clone());
            if round % 2 == 1 {
                sub.unsubscribe(topics[round].clone());
                sub.unsubscribe(topics[round].clone());
            }
            let minor = (round % 3).min(1) as u8;
            until(|| !sub.stats().peers[0].connected).await;
            let mut peer = Peer::shaken(listening.accept().await?, "PUB", minor).await?;
            let mut wanted: Vec<_> = topics[..=round].iter().step_by(2).cloned().collect();
            let mut told = Vec::new();
            for _ in &wanted {
                let (flags, body) = peer.frame().await?;
                let topic = match minor {
                    0 => body.strip_prefix(&[1]),
                    _ => body.strip_prefix(b"\x09SUBSCRIBE"),
                };
                assert_eq!(flags, 4 * minor);
                told.push(topic.ok_or("no subscription")?.to_vec());
            }
            wanted.sort();
            told.sort();
            assert_eq!(told, wanted);
            settled(&mut peer).await?;
        }
        Ok(())
    })
}

/// XS05, SB05: only what is news is told, however often it is said.
#[test]
fn a_publisher_is_told_the_first_and_the_last_time() -> Result {
    in_virtual_time(async {
        let xsub = XSub::with_options(quiet())?;
        let mut peer = joined(&xsub, SocketType::XPub).await?;
        for times in 1..20 {
            for _ in 0..times {
                xsub.send("\x01news").await?;
            }
            assert_eq!(peer.frame().await?, (4, b"\x09SUBSCRIBEnews".to_vec()));
            for _ in 1..times {
                xsub.send("\0news").await?;
            }
            settled(&mut peer).await?;
            xsub.send("\0news").await?;
            assert_eq!(peer.frame().await?, (4, b"\x06CANCELnews".to_vec()));
            // One cancel too many is none.
            xsub.send("\0news").await?;
            settled(&mut peer).await?;
        }
        Ok(())
    })
}

/// XS06: on the wire, each topic once, before the end of the connection.
#[test]
fn a_publisher_that_is_disconnected_hears_every_cancel_first() -> Result {
    in_virtual_time(async {
        for minor in [0, 1] {
            let name = memory_name();
            let mut listening = Listening::bind(&name)?;
            let xsub = XSub::with_options(quiet())?;
            let endpoint = format!("memory://{name}").parse()?;
            xsub.connect(&endpoint)?;
            let mut peer = Peer::shaken(listening.accept().await?, "XPUB", minor).await?;
            let topics = words(b"ab", 4);
            for topic in &topics {
                xsub.subscribe(topic.clone());
                peer.frame().await?;
            }
            assert!(xsub.disconnect(&endpoint));
            let mut cancelled = Vec::new();
            while let Ok((flags, body)) = peer.frame().await {
                assert_eq!(flags, 4 * minor);
                let topic = match minor {
                    0 => body.strip_prefix(&[0]),
                    _ => body.strip_prefix(b"\x06CANCEL"),
                };
                cancelled.push(topic.ok_or("no cancel")?.to_vec());
            }
            cancelled.sort();
            let mut expected = topics;
            expected.sort();
            assert_eq!(cancelled, expected);
        }
        Ok(())
    })
}

/// XS02, XS03, XS04: what an XSUB says goes to all its publishers that have
/// room, bound or connected, and waits for none.
#[test]
fn an_xsub_speaks_to_all_publishers_and_waits_for_none() -> Result {
    in_virtual_time(async {
        let xsub = XSub::with_options(quiet().send_high_water_mark(5))?;
        let (bound, connected) = (memory_name(), memory_name());
        xsub.bind(format!("memory://{bound}")).await?;
        let mut listening = Listening::bind(&connected)?;
        xsub.connect(format!("memory://{connected}"))?;
        let _deaf = Peer::shaken(dial(&bound)?, "XPUB", 1).await?;
        let mut peers = vec![
            Peer::shaken(dial(&bound)?, "XPUB", 1).await?,
            Peer::shaken(listening.accept().await?, "PUB", 0).await?,
        ];
        until(|| xsub.stats().peers.iter().all(|peer| peer.connected)).await;
        for number in 2..=200_u8 {
            xsub.send(vec![number; 10_000]).await?;
            for peer in &mut peers {
                assert_eq!(message(peer).await?, [vec![number; 10_000]]);
            }
        }
        let stats = xsub.stats();
        assert!(stats.sent.dropped.full >= 180);
        assert_accounted(&stats);
        Ok(())
    })
}

/// SB02, PB08: nobody receives; what is over the queues of both ends is dropped
/// where it is published, and what arrives arrives in order.
#[test]
fn a_full_subscriber_makes_its_publisher_drop() -> Result {
    in_virtual_time(async {
        let publisher = Pub::with_options(quiet().send_high_water_mark(10))?;
        let sub = Sub::with_options(quiet().receive_high_water_mark(10))?;
        sub.subscribe("");
        let name = format!("memory://{}", memory_name());
        publisher.bind(&name).await?;
        sub.connect(&name)?;
        until(|| publisher.stats().peers.iter().any(|peer| peer.connected)).await;
        publisher.send("first").await?;
        while publisher.stats().unmatched == 1 && publisher.stats().sent.accepted == 0 {
            tokio::task::yield_now().await;
            publisher.send("first").await?;
        }
        for number in 0..1_000_u32 {
            let mut body = number.to_be_bytes().to_vec();
            body.resize(10_000, 0);
            publisher.send(body).await?;
            tokio::task::yield_now().await;
        }
        let (sent, received) = (publisher.stats().sent, sub.stats().received);
        assert!(received.queued <= 40, "{received:?}");
        assert!(sent.dropped.full >= 900, "{sent:?}");
        assert_eq!(received.dropped, 0);
        let mut previous = Vec::new();
        while let Ok(message) = sub.try_recv() {
            if message.first() != "first" {
                assert!(previous < message.first()[..4].to_vec());
                previous = message.first()[..4].to_vec();
            }
            tokio::task::yield_now().await;
        }
        assert_accounted(&publisher.stats());
        assert_accounted(&sub.stats());
        Ok(())
    })
}

/// SB04, PF01: a SUB holds what arrives against its topics once more, as a peer may send anything.
#[test]
fn a_sub_delivers_what_it_asked_for_whoever_sends_more() -> Result {
    in_virtual_time(async {
        let sub = Sub::with_options(quiet())?;
        sub.subscribe("ab");
        let name = memory_name();
        sub.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "PUB", 1).await?;
        peer.frame().await?;
        let all = words(b"abc", 4);
        for word in &all {
            peer.write(&octets(&[&word[..], b"", b"body"])).await?;
        }
        settled(&mut peer).await?;
        for word in all.iter().filter(|word| word.starts_with(b"ab")) {
            let received = sub.try_recv()?;
            assert_eq!(received.frames(), [&word[..], b"", b"body"]);
        }
        assert!(sub.try_recv().is_err());
        assert_accounted(&sub.stats());
        Ok(())
    })
}
