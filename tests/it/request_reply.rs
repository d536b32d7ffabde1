//! REQ and REP.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use pushsub::testing::{Listening, dial};
use pushsub::{
    Dealer, Event, LinkError, Message, Options, Rep, Req, RequestError, Router, SendError,
    TryRecvError,
};

use crate::support::peer::{Peer, frame};
use crate::support::{
    Result, assert_accounted, connected, disconnected, event, in_virtual_time, memory_name,
    on_every_transport,
};

on_every_transport! {
    every_question_has_its_answer;
    requests_go_to_one_peer_after_the_other;
    a_request_waits_for_a_peer;
    requests_of_many_tasks_are_made_one_by_one;
    a_request_that_is_given_up_blocks_no_other;
    a_late_reply_answers_nothing;
    ids_tell_replies_apart_on_one_connection;
    a_peer_that_goes_ends_its_request;
    a_request_that_was_not_written_goes_to_the_peer_that_comes_back;
    a_disconnected_request_is_lost;
    a_closed_req_says_so;
    a_large_request_of_many_frames_comes_back_as_it_was;
    rep_receives_from_everybody_in_turn;
    replies_go_back_in_any_order;
    a_request_without_an_answer_keeps_no_other_waiting;
    a_reply_to_a_peer_that_is_gone_is_dropped_and_counted;
    a_responder_keeps_the_socket_open;
    a_reply_goes_back_through_routers;
    a_request_without_delimiter_is_dropped_whole;
}

fn message(frames: &[&'static str]) -> Message {
    let mut message = Message::from(frames[0]);
    for frame in &frames[1..] {
        message.push_back(*frame);
    }
    message
}

/// Answers each request with itself, for ever.
fn echo(rep: &Rep) {
    let mut rep = rep.clone();
    tokio::spawn(async move {
        while let Some((request, responder)) = rep.next().await {
            responder.send(request).expect("the socket is open");
        }
    });
}

/// RQ01, RQ02, RP01, RP03, RP04.
async fn every_question_has_its_answer(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    req.connect(&endpoint)?;
    echo(&rep);
    for number in 0..500 {
        let reply = req.request(format!("number {number}")).await?;
        assert_eq!(reply, Message::from(format!("number {number}")));
    }
    for stats in [req.stats(), rep.stats()] {
        assert_accounted(&stats);
        assert_eq!((stats.sent.written, stats.received.delivered), (500, 500));
    }
    Ok(())
}

/// RQ03.
async fn requests_go_to_one_peer_after_the_other(endpoint: String) -> Result {
    let req = Req::new();
    let mut monitor = req.monitor();
    let endpoint = req.bind(&endpoint).await?;
    let reps: Vec<Rep> = (0..3).map(|_| Rep::new()).collect();
    for rep in &reps {
        rep.connect(&endpoint)?;
        connected(&mut monitor).await;
        echo(rep);
    }
    for _ in 0..30 {
        req.request("whose turn?").await?;
    }
    for rep in &reps {
        assert_eq!(rep.stats().received.delivered, 10);
    }
    Ok(())
}

/// RQ04, RQ05.
async fn a_request_waits_for_a_peer(endpoint: String) -> Result {
    let req = Req::new();
    let mut waiting = std::pin::pin!(req.request("anybody?"));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(req.stats().sent.accepted, 0);
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    echo(&rep);
    req.connect(&endpoint)?;
    assert_eq!(waiting.await?.first(), "anybody?");
    Ok(())
}

/// RQ01.
async fn requests_of_many_tasks_are_made_one_by_one(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    req.connect(&endpoint)?;
    let asking = (0..20).map(|number| {
        let req = req.clone();
        async move {
            let reply = req.request(format!("{number}")).await?;
            assert_eq!(reply.first(), format!("{number}").as_bytes());
            Ok::<(), RequestError>(())
        }
    });
    let answering = async {
        for _ in 0..20 {
            let (request, responder) = rep.recv().await?;
            assert_eq!(rep.try_recv().err(), Some(TryRecvError::Empty));
            responder.send(request)?;
        }
        Result::Ok(())
    };
    let (asked, answered) = tokio::join!(futures::future::try_join_all(asking), answering);
    asked?;
    answered
}

/// A9, BI-69: REQ can not wedge; the reply of a request that was given up is
/// never another one's. Every second peer answers late, every other not at all.
async fn a_request_that_is_given_up_blocks_no_other(endpoint: String) -> Result {
    const COUNT: u32 = 10_000;
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    req.connect(&endpoint)?;
    let mut late = Vec::new();
    for number in 0..COUNT {
        let mut asking = Box::pin(req.request(format!("number {number}")));
        let (request, responder) = tokio::select! {
            reply = &mut asking => return Err(format!("answered {reply:?}").into()),
            received = rep.recv() => received?,
        };
        assert_eq!(request.first(), format!("number {number}").as_bytes());
        drop(asking);
        if number % 2 == 0 {
            late.push(responder);
        }
        if number % 10 == 0 {
            for responder in late.drain(..) {
                responder.send("late")?;
            }
        }
    }
    echo(&rep);
    assert_eq!(req.request("at last").await?.first(), "at last");
    assert_accounted(&req.stats());
    assert_eq!(req.stats().received.delivered, 1);
    assert_accounted(&rep.stats());
    Ok(())
}

/// RQ07, BI-69: it came before the next request, so the connection is clean and stays.
async fn a_late_reply_answers_nothing(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    let mut monitor = req.monitor();
    req.connect(&endpoint)?;
    connected(&mut monitor).await;
    let asking = req.request("never mind");
    let received = tokio::select! {
        _ = asking => return Err("answered".into()),
        received = rep.recv() => received,
    };
    received?.1.send("late")?;
    while req.stats().received.dropped == 0 {
        tokio::task::yield_now().await;
    }
    echo(&rep);
    assert_eq!(req.request("next").await?.first(), "next");
    assert!(monitor.next().now_or_never().is_none(), "nothing was cut");
    Ok(())
}

/// A9, BI-69.
async fn ids_tell_replies_apart_on_one_connection(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::with_options(Options::default().correlate(true))?;
    let mut monitor = req.monitor();
    req.connect(&endpoint)?;
    connected(&mut monitor).await;
    let mut late = Vec::new();
    for _ in 0..100 {
        let asking = req.request("never mind");
        late.push(tokio::select! {
            _ = asking => return Err("answered".into()),
            received = rep.recv() => received?.1,
        });
    }
    let asking = req.request("now");
    let answering = async {
        let (request, responder) = rep.recv().await?;
        for responder in late {
            responder.send("late")?;
        }
        responder.send(request)?;
        Result::Ok(())
    };
    let (reply, answered) = tokio::join!(asking, answering);
    answered?;
    assert_eq!(reply?.first(), "now");
    assert_eq!(req.stats().received.dropped, 100);
    assert_accounted(&req.stats());
    assert!(monitor.next().now_or_never().is_none(), "nothing was cut");
    Ok(())
}

async fn a_peer_that_goes_ends_its_request(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    req.connect(&endpoint)?;
    let leaving = async {
        let request = rep.recv().await;
        rep.clone().close(Duration::ZERO).await;
        request
    };
    let (reply, request) = tokio::join!(req.request("are you there?"), leaving);
    drop(request?);
    assert!(matches!(reply, Err(RequestError::PeerLost)), "{reply:?}");
    let rep = Rep::new();
    rep.bind(&endpoint).await?;
    echo(&rep);
    assert_eq!(req.request("and now?").await?.first(), "and now?");
    Ok(())
}

/// RQ05.
async fn a_request_that_was_not_written_goes_to_the_peer_that_comes_back(
    endpoint: String,
) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    let mut monitor = req.monitor();
    req.connect(&endpoint)?;
    connected(&mut monitor).await;
    rep.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    let mut asking = std::pin::pin!(req.request("hello?"));
    assert!(asking.as_mut().now_or_never().is_none());
    let rep = Rep::new();
    rep.bind(&endpoint).await?;
    echo(&rep);
    assert_eq!(asking.await?.first(), "hello?");
    Ok(())
}

async fn a_disconnected_request_is_lost(_: String) -> Result {
    let req = Req::new();
    let endpoint = format!("memory://{}", memory_name()).parse()?;
    req.connect(&endpoint)?;
    let mut asking = std::pin::pin!(req.request("hello?"));
    assert!(asking.as_mut().now_or_never().is_none());
    assert!(req.disconnect(&endpoint));
    assert!(matches!(asking.await, Err(RequestError::PeerLost)));
    assert_eq!(req.stats().sent.dropped.discarded, 1);
    assert_accounted(&req.stats());
    Ok(())
}

async fn a_closed_req_says_so(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    req.connect(&endpoint)?;
    let closing = async {
        let request = rep.recv().await;
        req.clone().close(Duration::ZERO).await;
        request
    };
    let (reply, request) = tokio::join!(req.request("hello"), closing);
    request?.1.send("too late")?;
    assert!(matches!(reply, Err(RequestError::Closed)));
    let refused = req.request("hello").await;
    assert!(
        matches!(refused, Err(RequestError::Refused(SendError::Closed(message))) if message == Message::from("hello"))
    );
    Ok(())
}

async fn a_large_request_of_many_frames_comes_back_as_it_was(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    echo(&rep);
    let req = Req::new();
    req.connect(&endpoint)?;
    let mut request = Message::from(vec![7; 1 << 20]);
    request.push_back("");
    request.push_back(vec![8; 300]);
    assert_eq!(req.request(request.clone()).await?, request);
    assert_eq!(req.request("").await?, Message::from(""));
    Ok(())
}

/// RP02.
async fn rep_receives_from_everybody_in_turn(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let busy = Dealer::new();
    busy.connect(&endpoint)?;
    for _ in 0..100 {
        busy.send(message(&["", "busy"])).await?;
    }
    while rep.stats().received.queued < 100 {
        tokio::task::yield_now().await;
    }
    let quiet = Dealer::new();
    quiet.connect(&endpoint)?;
    quiet.send(message(&["", "quiet"])).await?;
    while rep.stats().received.queued < 101 {
        tokio::task::yield_now().await;
    }
    let first = [rep.recv().await?, rep.recv().await?].map(|(request, _)| request);
    assert!(first.contains(&Message::from("quiet")), "{first:?}");
    Ok(())
}

/// RP05: more than the lockstep of the RFC asks for.
async fn replies_go_back_in_any_order(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let reqs: Vec<Req> = (0..10).map(|_| Req::new()).collect();
    for req in &reqs {
        req.connect(&endpoint)?;
    }
    let asking = reqs.iter().enumerate().map(|(number, req)| async move {
        let reply = req.request(format!("{number}")).await?;
        assert_eq!(reply.first(), format!("{number}").as_bytes());
        Result::Ok(())
    });
    let answering = async {
        let mut open = Vec::new();
        while open.len() < 10 {
            open.push(rep.recv().await?);
        }
        for (request, responder) in open.into_iter().rev() {
            responder.send(request)?;
        }
        Result::Ok(())
    };
    let (asked, answered) = tokio::join!(futures::future::try_join_all(asking), answering);
    asked?;
    answered
}

/// RP01, RP07.
async fn a_request_without_an_answer_keeps_no_other_waiting(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let dealer = Dealer::new();
    dealer.connect(&endpoint)?;
    dealer.send(message(&["", "one"])).await?;
    dealer.send(message(&["", "two"])).await?;
    drop(rep.recv().await?);
    let (request, responder) = rep.recv().await?;
    responder.send(request)?;
    assert_eq!(dealer.recv().await?, message(&["", "two"]));
    Ok(())
}

/// RP06, RP07: the next connection of the same endpoint is not who asked.
async fn a_reply_to_a_peer_that_is_gone_is_dropped_and_counted(endpoint: String) -> Result {
    let dealer = Dealer::new();
    let endpoint = dealer.bind(&endpoint).await?;
    let rep = Rep::new();
    let mut monitor = rep.monitor();
    rep.connect(&endpoint)?;
    dealer.send(message(&["", "question"])).await?;
    let (_, responder) = rep.recv().await?;
    dealer.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    let dealer = Dealer::new();
    dealer.bind(&endpoint).await?;
    event(&mut monitor, |event| {
        matches!(event, Event::Connected { .. })
    })
    .await;
    responder.send("answer")?;
    assert_eq!(rep.stats().sent.dropped.unroutable, 1);
    assert_accounted(&rep.stats());
    Ok(())
}

async fn a_responder_keeps_the_socket_open(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::new();
    req.connect(&endpoint)?;
    let answering = async move {
        let (request, responder) = rep.recv().await?;
        drop(rep);
        responder.send(request)?;
        Result::Ok(())
    };
    let (reply, answered) = tokio::join!(req.request("still there?"), answering);
    answered?;
    assert_eq!(reply?.first(), "still there?");
    Ok(())
}

/// RP03, RP04: two hops on the way, as through a queue device.
async fn a_reply_goes_back_through_routers(endpoint: String) -> Result {
    let (front, back) = (Router::new(), Dealer::new());
    let back_endpoint = format!("memory://{}", memory_name());
    let back_endpoint = back.bind(&back_endpoint).await?;
    let endpoint = front.bind(&endpoint).await?;
    let rep = Rep::new();
    rep.connect(&back_endpoint)?;
    echo(&rep);
    let req = Req::new();
    req.connect(&endpoint)?;
    let passing = async {
        back.send(front.recv().await?).await?;
        front.send(back.recv().await?).await?;
        Result::Ok(())
    };
    let (reply, passed) = tokio::join!(req.request("far away"), passing);
    passed?;
    assert_eq!(reply?.first(), "far away");
    Ok(())
}

/// RP09, BI-68.
async fn a_request_without_delimiter_is_dropped_whole(endpoint: String) -> Result {
    let rep = Rep::new();
    let endpoint = rep.bind(&endpoint).await?;
    let dealer = Dealer::new();
    dealer.connect(&endpoint)?;
    dealer.send("no delimiter").await?;
    dealer.send(message(&["none", "here", "either"])).await?;
    let mut hops = Message::from("hop");
    (1..17).for_each(|_| hops.push_back("hop"));
    hops.push_back("");
    hops.push_back("too far");
    dealer.send(hops).await?;
    dealer.send(message(&[""])).await?;
    dealer.send(message(&["hop", "", "whole"])).await?;
    assert_eq!(
        rep.recv().await?.0,
        Message::from(""),
        "empty, but a request"
    );
    assert_eq!(rep.recv().await?.0, Message::from("whole"));
    let stats = rep.stats();
    assert_accounted(&stats);
    assert_eq!(stats.received.dropped, 3);
    Ok(())
}

/// RQ02, RQ06, RQ08, BI-69: octet by octet.
#[test]
fn a_req_takes_the_first_sound_reply_of_whom_it_asked() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let req = Req::new();
        req.bind(format!("memory://{name}")).await?;
        let mut peers = Vec::new();
        for _ in 0..2 {
            peers.push(Peer::shaken(dial(&name)?, "REP", 1).await?);
        }
        while req.stats().peers.len() < 2 {
            tokio::task::yield_now().await;
        }
        let sound = [frame(true, b""), frame(false, b"answer")].concat();
        // A reply to nothing, from both.
        for peer in &mut peers {
            peer.write(&sound).await?;
        }
        while req.stats().received.dropped < 2 {
            tokio::task::yield_now().await;
        }
        let script = async {
            let (asked, other) = peers.split_at_mut(1);
            assert_eq!(asked[0].frame().await?, (1, vec![]));
            assert_eq!(asked[0].frame().await?, (0, b"question".to_vec()));
            other[0]
                .write(&[frame(true, b""), frame(false, b"other")].concat())
                .await?;
            // It is looked at before the true answer is there.
            while req.stats().received.received < 3 {
                tokio::task::yield_now().await;
            }
            asked[0].write(&frame(false, b"no delimiter")).await?;
            asked[0].write(&frame(false, b"")).await?;
            asked[0].write(&sound).await?;
            asked[0].write(&sound).await?;
            Result::Ok(())
        };
        let (reply, script) = tokio::join!(req.request("question"), script);
        script?;
        assert_eq!(reply?, Message::from("answer"));
        while req.stats().received.dropped < 6 {
            tokio::task::yield_now().await;
        }
        assert_accounted(&req.stats());
        Ok(())
    })
}

/// A9: the new connection is made at once, and carries only the new request.
#[test]
fn a_request_that_was_given_up_is_followed_by_a_new_connection() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let req = Req::new();
        let mut monitor = req.monitor();
        req.connect(format!("memory://{name}"))?;
        let mut peer = Peer::shaken(listening.accept().await?, "REP", 1).await?;
        let asking = req.request("one");
        tokio::select! {
            _ = asking => return Err("answered".into()),
            frame = async { peer.frame().await?; peer.frame().await } => { frame?; }
        }
        let since = tokio::time::Instant::now();
        let script = async {
            let wire = listening.accept().await?;
            // What the old connection still says is heard by nobody.
            let late = [frame(true, b""), frame(false, b"late")].concat();
            let _ = peer.write(&late).await;
            let mut peer = Peer::shaken(wire, "REP", 1).await?;
            assert_eq!(peer.frame().await?, (1, vec![]));
            assert_eq!(peer.frame().await?, (0, b"two".to_vec()));
            peer.write(&[frame(true, b""), frame(false, b"answer")].concat())
                .await?;
            Result::Ok(peer)
        };
        let (reply, script) = tokio::join!(req.request("two"), script);
        script?;
        assert_eq!(reply?.first(), "answer");
        assert!(since.elapsed().is_zero());
        event(&mut monitor, |event| {
            matches!(
                event,
                Event::Disconnected {
                    reason: LinkError::GivenUp,
                    ..
                }
            )
        })
        .await;
        Ok(())
    })
}
