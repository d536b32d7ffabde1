//! REQ and REP against a bare peer: envelopes of every depth, and replies that are none.

use futures::FutureExt;
use pushsub::testing::dial;
use pushsub::{Message, Options, Rep, Req, SendError, SocketType};

use super::{joined, message, octets, quiet, settled, until};
use crate::support::peer::Peer;
use crate::support::{Result, assert_accounted, in_virtual_time, memory_name};

/// A message of these frames.
fn whole(frames: &[Vec<u8>]) -> Message {
    let frames = frames.iter().cloned().map(Into::into).collect();
    Message::from_frames(frames).expect("it has frames")
}

/// Bodies of one to five frames, empty ones in every place.
fn bodies() -> impl Iterator<Item = Vec<Vec<u8>>> {
    (1..=5_usize).flat_map(|count| {
        (0..1_usize << count).map(move |shape| {
            let frames = (0..count).map(|place| vec![b'b'; 3 * (shape >> place & 1)]);
            frames.collect()
        })
    })
}

/// An envelope of so many hops, and the empty frame at its end.
fn envelope(hops: usize) -> Vec<Vec<u8>> {
    let hop = |place: usize| vec![place as u8; 1 + place * 15 % 255];
    (0..hops).map(hop).chain([Vec::new()]).collect()
}

/// RP03, RP04, RP09: 0 to 16 hops before bodies of every shape; the body alone
/// is delivered, and the same envelope stands before the reply.
#[test]
fn an_envelope_of_any_depth_comes_back_before_the_reply() -> Result {
    in_virtual_time(async {
        let rep = Rep::with_options(quiet())?;
        let mut peer = joined(&rep, SocketType::Dealer).await?;
        for hops in 0..=16 {
            for body in bodies() {
                peer.write(&octets(&[envelope(hops), body.clone()].concat()))
                    .await?;
                let (request, responder) = rep.recv().await?;
                assert_eq!(request, whole(&body), "{hops} hops");
                responder.send(whole(&body))?;
                assert_eq!(message(&mut peer).await?, [envelope(hops), body].concat());
            }
        }
        Ok(())
    })
}

/// RP09, RP03: more than 16 hops, or no empty frame at all; each is dropped with
/// all its frames, and the request after it is answered.
#[test]
fn a_request_without_an_end_of_its_envelope_harms_no_other() -> Result {
    in_virtual_time(async {
        let rep = Rep::with_options(quiet())?;
        let mut peer = joined(&rep, SocketType::Dealer).await?;
        let endless = (1..=40).map(|count| vec![b"hop".to_vec(); count]);
        let deep = (17..=40).map(envelope);
        for (count, broken) in endless.chain(deep).enumerate() {
            let sound = vec![Vec::new(), b"sound".to_vec()];
            peer.write(&[octets(&broken), octets(&sound)].concat())
                .await?;
            let (request, responder) = rep.recv().await?;
            assert_eq!(request, Message::from("sound"));
            responder.send("answer")?;
            assert_eq!(message(&mut peer).await?, [&b""[..], b"answer"]);
            assert_eq!(rep.stats().received.dropped, count as u64 + 1);
        }
        assert_accounted(&rep.stats());
        Ok(())
    })
}

/// RP05, RP06: ten peers ask, some go; each that stays has its own answer and no
/// other, and the answers to those that went are dropped and counted.
#[test]
fn a_reply_goes_to_who_asked_and_to_nobody_else() -> Result {
    in_virtual_time(async {
        for gone in 0_u32..32 {
            let rep = Rep::with_options(quiet())?;
            let name = memory_name();
            rep.bind(format!("memory://{name}")).await?;
            let mut peers = Vec::new();
            for number in 0..5_u8 {
                let mut peer = Peer::shaken(dial(&name)?, "REQ", 1).await?;
                peer.write(&octets(&[vec![], vec![number]])).await?;
                settled(&mut peer).await?;
                peers.push((number, peer));
            }
            let open: Vec<_> = std::iter::from_fn(|| rep.try_recv().ok()).collect();
            assert_eq!(open.len(), 5);
            peers.retain(|(number, _)| gone & (1 << number) == 0);
            until(|| rep.stats().peers.len() == peers.len()).await;
            for (request, responder) in open.into_iter().rev() {
                responder.send(request)?;
            }
            for (number, peer) in &mut peers {
                assert_eq!(message(peer).await?, [vec![], vec![*number]]);
                settled(peer).await?;
            }
            let dropped = rep.stats().sent.dropped.unroutable;
            assert_eq!(dropped, u64::from(gone.count_ones()));
        }
        Ok(())
    })
}

/// RP06, C6: where the options ask for it the reply comes back instead.
#[test]
fn a_mandatory_rep_gives_back_what_finds_nobody() -> Result {
    in_virtual_time(async {
        let rep = Rep::with_options(quiet().mandatory(true))?;
        let mut peer = joined(&rep, SocketType::Req).await?;
        peer.write(&octets(&["", "question"])).await?;
        let (_, responder) = rep.recv().await?;
        drop(peer);
        until(|| rep.stats().peers.is_empty()).await;
        let error = responder.send("answer").expect_err("nobody is there");
        assert!(matches!(&error, SendError::Unroutable(reply) if reply.first() == "answer"));
        Ok(())
    })
}

/// RP07: to a peer that reads nothing; what does not fit is dropped and counted.
#[test]
fn a_reply_never_waits() -> Result {
    in_virtual_time(async {
        let rep = Rep::with_options(quiet().send_high_water_mark(3))?;
        let mut peer = joined(&rep, SocketType::Dealer).await?;
        for _ in 0..50 {
            peer.write(&octets(&["", "question"])).await?;
            let (_, responder) = rep.recv().await?;
            responder.send(vec![1; 10_000])?;
            tokio::task::yield_now().await;
        }
        let sent = rep.stats().sent;
        assert_eq!(sent.queued, 3);
        assert_eq!(sent.written + sent.dropped.full + sent.queued, 50);
        Ok(())
    })
}

/// RP01: dropped unanswered, a request leaves nothing behind, and the next is taken.
#[test]
fn a_request_may_stay_without_an_answer() -> Result {
    in_virtual_time(async {
        let rep = Rep::with_options(quiet())?;
        let mut peer = joined(&rep, SocketType::Dealer).await?;
        for number in 0..100_u8 {
            peer.write(&octets(&[vec![], vec![number]])).await?;
            let (request, responder) = rep.recv().await?;
            match number % 3 {
                0 => {
                    responder.send(request)?;
                    assert_eq!(message(&mut peer).await?, [vec![], vec![number]]);
                }
                _ => drop(responder),
            }
        }
        settled(&mut peer).await
    })
}

/// RQ02: an empty frame before requests of every shape, and off their replies.
#[test]
fn a_request_of_any_shape_goes_out_behind_an_empty_frame() -> Result {
    in_virtual_time(async {
        let req = Req::with_options(quiet())?;
        let mut peer = joined(&req, SocketType::Rep).await?;
        for body in bodies() {
            let script = async {
                let enveloped = [vec![Vec::new()], body.clone()].concat();
                assert_eq!(message(&mut peer).await?, enveloped);
                peer.write(&octets(&enveloped)).await
            };
            let (reply, script) = tokio::join!(req.request(whole(&body)), script);
            script?;
            assert_eq!(reply?, whole(&body));
        }
        Ok(())
    })
}

/// RQ06, RQ07, RQ08: before the sound reply of whom it asked come replies of
/// others, replies without an empty frame of one to five frames, a bare empty
/// frame; after it come more of each. One is taken, the rest are counted.
#[test]
fn of_all_that_comes_one_reply_is_taken() -> Result {
    in_virtual_time(async {
        let req = Req::with_options(quiet())?;
        let name = memory_name();
        req.bind(format!("memory://{name}")).await?;
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut peer = Peer::shaken(dial(&name)?, "REP", 1).await?;
            settled(&mut peer).await?;
            peers.push(peer);
        }
        let mut dropped = 0;
        for round in 0..30_usize {
            let (asked, others) = ([round % 3], [(round + 1) % 3, (round + 2) % 3]);
            let noise: Vec<u8> = (1..=5)
                .flat_map(|count| octets(&vec![b"no".to_vec(); count]))
                .chain(octets(&[b""]))
                .collect();
            let sound = octets(&[Vec::new(), round.to_string().into_bytes()]);
            let script = async {
                assert_eq!(message(&mut peers[asked[0]]).await?[0], b"");
                for other in others {
                    peers[other].write(&octets(&["", "not asked"])).await?;
                    settled(&mut peers[other]).await?;
                }
                let peer = &mut peers[asked[0]];
                peer.write(&[&noise[..], &sound, &sound, &noise].concat())
                    .await?;
                settled(peer).await
            };
            let (reply, script) = tokio::join!(req.request("question"), script);
            script?;
            assert_eq!(reply?.first(), round.to_string().as_bytes());
            dropped += 2 + 2 * 6 + 1;
            assert_eq!(req.stats().received.dropped, dropped);
        }
        assert_accounted(&req.stats());
        Ok(())
    })
}

/// RQ01, RQ04, RQ05: requests of many tasks wait for a peer and then for each
/// other; none of them is discarded, and none overtakes.
#[test]
fn requests_wait_for_a_peer_and_for_their_turn() -> Result {
    in_virtual_time(async {
        let req = Req::with_options(quiet())?;
        let asking: Vec<_> = (0..50_u8)
            .map(|number| {
                let req = req.clone();
                Box::pin(async move { req.request(vec![number]).await })
            })
            .collect();
        let mut asking = futures::future::join_all(asking);
        assert!((&mut asking).now_or_never().is_none());
        assert_eq!(req.stats().sent.accepted, 0);
        let mut peer = joined(&req, SocketType::Rep).await?;
        let script = async {
            for number in 0..50_u8 {
                let request = message(&mut peer).await?;
                assert_eq!(request, [vec![], vec![number]]);
                assert_eq!(req.stats().sent.accepted, u64::from(number) + 1);
                peer.write(&octets(&request)).await?;
            }
            Result::Ok(())
        };
        let (replies, script) = tokio::join!(asking, script);
        script?;
        for (number, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply?.first()[..], [number as u8]);
        }
        Ok(())
    })
}

/// A9: 10,000 requests whose time runs out, by ids and by new connections, then one that is answered.
#[test]
fn a_req_whose_requests_time_out_ten_thousand_times_answers_the_next() -> Result {
    in_virtual_time(async {
        for correlate in [true, false] {
            let options: Options = quiet().correlate(correlate);
            let (req, rep) = (Req::with_options(options)?, Rep::with_options(quiet())?);
            let name = format!("memory://{}", memory_name());
            rep.bind(&name).await?;
            req.connect(&name)?;
            for number in 0..10_000_u32 {
                let patience = std::time::Duration::from_millis(10);
                let asked = tokio::time::timeout(patience, req.request(number.to_string()));
                assert!(asked.await.is_err(), "{number}");
                while rep.try_recv().is_ok() {}
            }
            let answering = async {
                loop {
                    let (request, responder) = rep.recv().await?;
                    let last = request.first() == "last";
                    responder.send(request)?;
                    if last {
                        return Result::Ok(());
                    }
                }
            };
            let (reply, answered) = tokio::join!(req.request("last"), answering);
            answered?;
            assert_eq!(reply?.first(), "last");
        }
        Ok(())
    })
}
