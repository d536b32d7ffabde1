//! What receives, dropped at any poll: nothing is lost, nothing comes twice, and the order stays.

use std::time::Duration;

use futures::StreamExt;
use pushsub::{Message, Pull, Push, Rep, Req, Sub, Upstream, XPub};
use tokio::time::timeout;

use super::lanes::{Lane, Receives, Sends, narrow, with_every_lane};
use super::{Runs, turns_of_others};
use crate::support::{Result, on_every_transport};

on_every_transport! {
    a_receive_that_is_dropped_loses_nothing;
    a_receive_with_its_peer_that_is_dropped_loses_nothing;
    a_receive_of_many_that_is_dropped_loses_nothing;
    a_stream_that_is_left_loses_nothing;
    a_receive_of_subscriptions_that_is_dropped_loses_none;
    a_wake_up_passes_on_when_its_receiver_gives_up;
    a_request_received_in_a_future_that_is_dropped_is_received_by_the_next;
}

/// Runs of each lane, of which there are seven, on each transport, of which there are four.
const EACH: u32 = 400;

/// Messages sent before one run and the next: fewer than are received.
const FED: [u32; 7] = [1, 0, 2, 0, 0, 1, 0];

/// A8.
async fn a_receive_that_is_dropped_loses_nothing(endpoint: String) -> Result {
    async fn receive<F: Sends, T: Receives>(
        mut lane: Lane<F, T>,
        drops: bool,
        runs: &mut Runs,
    ) -> Result {
        for run in 0..EACH {
            (0..FED[run as usize % FED.len()]).for_each(|_| lane.feed());
            let to = lane.to.clone();
            if let Some(message) = runs.run(to.recv()).await {
                lane.check(&message?);
            }
        }
        lane.end(drops).await
    }
    let mut runs = Runs::of("recv");
    with_every_lane!(&endpoint, receive(&mut runs));
    runs.end(7 * EACH);
    Ok(())
}

/// A8.
async fn a_receive_with_its_peer_that_is_dropped_loses_nothing(endpoint: String) -> Result {
    async fn receive<F: Sends, T: Receives>(
        mut lane: Lane<F, T>,
        drops: bool,
        runs: &mut Runs,
    ) -> Result {
        for run in 0..EACH {
            (0..FED[run as usize % FED.len()]).for_each(|_| lane.feed());
            let to = lane.to.clone();
            if let Some(received) = runs.run(to.recv_from()).await {
                let (message, peer) = received?;
                assert!(peer.accepted);
                lane.check(&message);
            }
        }
        lane.end(drops).await
    }
    let mut runs = Runs::of("recv_from");
    with_every_lane!(&endpoint, receive(&mut runs));
    runs.end(7 * EACH);
    Ok(())
}

/// A8: what was appended before the drop counts as received, and nothing is appended by a
/// future that is not ready.
async fn a_receive_of_many_that_is_dropped_loses_nothing(endpoint: String) -> Result {
    async fn receive<F: Sends, T: Receives>(
        mut lane: Lane<F, T>,
        drops: bool,
        runs: &mut Runs,
    ) -> Result {
        for run in 0..EACH {
            (0..FED[run as usize % FED.len()]).for_each(|_| lane.feed());
            let to = lane.to.clone();
            let mut messages = Vec::new();
            let count = runs.run(to.recv_many(&mut messages, 3)).await;
            assert_eq!(messages.len(), count.transpose()?.unwrap_or(0));
            messages.iter().for_each(|message| lane.check(message));
        }
        lane.end(drops).await
    }
    let mut runs = Runs::of("recv_many");
    with_every_lane!(&endpoint, receive(&mut runs));
    runs.end(7 * EACH);
    Ok(())
}

/// A8, A7: the stream keeps its place between its futures, and others receive beside it.
async fn a_stream_that_is_left_loses_nothing(endpoint: String) -> Result {
    async fn receive<F: Sends, T: Receives>(
        mut lane: Lane<F, T>,
        drops: bool,
        runs: &mut Runs,
    ) -> Result {
        let mut stream = lane.to.clone();
        for run in 0..EACH {
            (0..FED[run as usize % FED.len()]).for_each(|_| lane.feed());
            if let Some(message) = runs.run(stream.next()).await {
                lane.check(&message.ok_or("the socket is open")?);
            }
            if run % 7 == 0 {
                lane.drain(1);
            }
        }
        lane.end(drops).await
    }
    let mut runs = Runs::of("Stream::next");
    with_every_lane!(&endpoint, receive(&mut runs));
    runs.end(7 * EACH);
    Ok(())
}

/// A8: each request of a subscriber is shown once, and in its order.
async fn a_receive_of_subscriptions_that_is_dropped_loses_none(endpoint: String) -> Result {
    let options = narrow().manual_subscriptions(true);
    let publisher = XPub::with_options(options)?;
    let endpoint = publisher.bind(&endpoint).await?;
    let subscriber = Sub::with_options(narrow())?;
    subscriber.connect(&endpoint)?;
    let mut runs = Runs::of("recv_upstream");
    let (mut asked, mut shown) = (0_u32, 0_u32);
    let check = |upstream: Upstream, shown: &mut u32| match upstream {
        Upstream::Subscription(request) => {
            assert_eq!(request.topic(), &shown.to_be_bytes()[..]);
            assert!(request.accept());
            *shown += 1;
        }
        other => unreachable!("nobody cancels: {other:?}"),
    };
    for run in 0..1_500_u32 {
        // Out of step with the polls, so that every number of them has to wait at times.
        if run % 5 < 2 {
            subscriber.subscribe(asked.to_be_bytes().to_vec());
            asked += 1;
        }
        if let Some(upstream) = runs.run(publisher.recv_upstream()).await {
            check(upstream?, &mut shown);
        }
    }
    runs.end(1_500);
    while shown < asked {
        check(publisher.recv_upstream().await?, &mut shown);
    }
    publisher.send(7_u32.to_be_bytes().to_vec()).await?;
    assert_eq!(subscriber.recv().await?.first(), &7_u32.to_be_bytes()[..]);
    Ok(())
}

/// A8: two wait, the one that is woken is dropped before it looks; with every method that receives.
async fn a_wake_up_passes_on_when_its_receiver_gives_up(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    for number in 0..200_u32 {
        let mut many = Vec::new();
        let mut first: futures::future::LocalBoxFuture<'_, ()> = match number % 3 {
            0 => Box::pin(async { drop(pull.recv().await) }),
            1 => Box::pin(async { drop(pull.recv_from().await) }),
            _ => Box::pin(async { _ = pull.recv_many(&mut many, 2).await }),
        };
        assert!(futures::poll!(&mut first).is_pending());
        let second = tokio::spawn({
            let pull = pull.clone();
            async move { pull.recv().await }
        });
        turns_of_others(1).await;
        let body = number.to_be_bytes().to_vec();
        push.send(body.clone()).await?;
        turns_of_others(1).await;
        drop(first);
        // Long before a heartbeat would wake it anyhow.
        let second: Message = timeout(Duration::from_secs(2), second).await???;
        assert_eq!(second.first(), &body);
    }
    Ok(())
}

/// A8: by each of the three ways in which a REP receives.
async fn a_request_received_in_a_future_that_is_dropped_is_received_by_the_next(
    endpoint: String,
) -> Result {
    const EACH: u32 = 900;
    let rep = Rep::with_options(narrow())?;
    let endpoint = rep.bind(&endpoint).await?;
    let asking = tokio::spawn(async move {
        let req = Req::with_options(narrow()).expect("sound options");
        req.connect(&endpoint).expect("it is bound");
        for number in 0..EACH {
            turns_of_others(number % 7).await;
            let reply = req
                .request(number.to_string())
                .await
                .expect("it is answered");
            assert_eq!(reply.first(), number.to_string().as_bytes());
        }
    });
    let mut stream = rep.clone();
    let methods = ["Rep::recv", "Rep::recv_from", "Rep as Stream"];
    let mut runs = methods.map(Runs::of);
    let mut random = fastrand::Rng::with_seed(18);
    let mut next = 0;
    while next < EACH {
        let received = match random.u8(..3) {
            0 => runs[0].run(rep.recv()).await.transpose()?,
            1 => {
                let received = runs[1].run(rep.recv_from()).await.transpose()?;
                received.map(|(request, responder, _)| (request, responder))
            }
            _ => runs[2].run(stream.next()).await.flatten(),
        };
        if let Some((request, responder)) = received {
            assert_eq!(request.first(), next.to_string().as_bytes());
            responder.send(request)?;
            next += 1;
        }
        turns_of_others(1).await;
    }
    asking.await?;
    for runs in runs {
        runs.end(EACH / 4);
    }
    Ok(())
}
