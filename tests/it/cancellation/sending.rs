//! What sends, dropped at any poll: what was not accepted is not sent, and what was is sent once.

use std::task::Poll;

use futures::{FutureExt, SinkExt};
use pushsub::{Options, Pull, Push, SendOptions, TrySendError, Written};

use super::lanes::{Lane, Receives, Sends, narrow, with_every_lane};
use super::{Runs, turns_of_others};
use crate::support::{Result, assert_accounted, on_every_transport};

on_every_transport! {
    a_send_that_is_dropped_has_sent_nothing;
    a_send_for_a_receipt_that_is_dropped_has_sent_nothing;
    what_a_sink_was_given_is_sent_once_or_not_at_all;
    a_reservation_that_is_dropped_has_taken_no_place;
    who_waits_for_room_and_gives_up_passes_the_wake_up_on;
}

/// Runs of each lane, of which there are seven, on each transport, of which there are four.
const EACH: u32 = 400;

/// A8.
async fn a_send_that_is_dropped_has_sent_nothing(endpoint: String) -> Result {
    async fn send<F: Sends, T: Receives>(
        mut lane: Lane<F, T>,
        drops: bool,
        runs: &mut Runs,
    ) -> Result {
        for run in 0..EACH {
            let (_, message) = lane.fresh();
            let from = lane.from.clone();
            if let Some(sent) = runs.run(from.send(message)).await {
                sent?;
                lane.accept();
            }
            lane.drain(usize::from(run % 5 == 4) * 3);
        }
        lane.end(drops).await
    }
    let mut runs = Runs::of("send");
    with_every_lane!(&endpoint, send(&mut runs));
    runs.end(7 * EACH);
    Ok(())
}

/// A8: also the wait for the receipt, which is made again.
async fn a_send_for_a_receipt_that_is_dropped_has_sent_nothing(endpoint: String) -> Result {
    async fn send<F: Sends, T: Receives>(
        mut lane: Lane<F, T>,
        drops: bool,
        runs: &mut Runs,
        waits: &mut Runs,
    ) -> Result {
        let mut receipts = Vec::new();
        for run in 0..EACH {
            let (_, message) = lane.fresh();
            let from = lane.from.clone();
            let sending = from.send_with(message, SendOptions::default());
            if let Some(sent) = runs.run(sending).await {
                receipts.push(sent?);
                lane.accept();
            }
            if let Some(receipt) = receipts.last_mut() {
                waits.run(receipt.written()).await;
            }
            lane.drain(usize::from(run % 5 == 4) * 3);
        }
        lane.end(drops).await?;
        for mut receipt in receipts {
            match receipt.written().await {
                Ok(Written { copies, .. }) => assert_eq!(copies, 1),
                Err(reason) => assert!(drops, "{reason:?}"),
            }
        }
        Ok(())
    }
    let (mut runs, mut waits) = (Runs::of("send_with"), Runs::of("Receipt::written"));
    with_every_lane!(&endpoint, send(&mut runs, &mut waits));
    runs.end(7 * EACH);
    waits.end(EACH);
    Ok(())
}

/// A8, A7: what a sink has taken it keeps when its future is dropped, and flushes with the next.
async fn what_a_sink_was_given_is_sent_once_or_not_at_all(endpoint: String) -> Result {
    async fn send<F: Sends, T: Receives>(
        mut lane: Lane<F, T>,
        drops: bool,
        runs: &mut Runs,
    ) -> Result {
        let mut sink = lane.from.clone();
        for run in 0..EACH {
            let (_, message) = lane.fresh();
            match runs.run(SinkExt::send(&mut sink, message)).await {
                Some(sent) => {
                    sent?;
                    lane.accept();
                }
                None => lane.doubt(),
            }
            lane.drain(usize::from(run % 5 == 4) * 3);
        }
        let mut flushing = sink.flush();
        while !matches!(futures::poll!(&mut flushing), Poll::Ready(Ok(()))) {
            lane.drain(3);
            turns_of_others(1).await;
        }
        lane.end(drops).await
    }
    let mut runs = Runs::of("Sink::send");
    with_every_lane!(&endpoint, send(&mut runs));
    runs.end(7 * EACH);
    Ok(())
}

/// A8: while some hold places and give them back, and when all have, every place is there.
async fn a_reservation_that_is_dropped_has_taken_no_place(endpoint: String) -> Result {
    const PLACES: usize = 3;
    let options = || Options::default().heartbeat_interval(None);
    let pull = Pull::with_options(options())?;
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::with_options(options().send_high_water_mark(PLACES))?;
    push.connect(&endpoint)?;
    let mut runs = Runs::of("reserve");
    let (mut permits, mut sent, mut received) = (Vec::new(), 0_u32, 0_u32);
    for run in 0..3_000_u32 {
        if let Some(permit) = runs.run(push.reserve()).await {
            permits.push(permit?);
        }
        assert!(permits.len() <= PLACES);
        match run % 5 {
            // Given back.
            0 => drop(permits.pop()),
            1 => {
                if let Some(permit) = permits.pop() {
                    permit.send(sent.to_be_bytes().to_vec())?;
                    sent += 1;
                }
            }
            _ => {}
        }
        while let Ok(message) = pull.try_recv() {
            assert_eq!(message.first(), &received.to_be_bytes()[..]);
            received += 1;
        }
    }
    runs.end(3_000);
    permits.clear();
    while received < sent {
        assert_eq!(pull.recv().await?.first(), &received.to_be_bytes()[..]);
        received += 1;
    }
    super::until(|| push.stats().sent.queued == 0).await;
    let all: Vec<_> = (0..PLACES)
        .map(|_| push.reserve().now_or_never().ok_or("a place is missing"))
        .collect::<std::result::Result<_, _>>()?;
    let above = push.try_send("above");
    assert!(matches!(above, Err(TrySendError::Full(_))), "{above:?}");
    drop(all);
    assert_accounted(&push.stats());
    Ok(())
}

/// A8: two wait, the one that is woken is dropped before it looks.
async fn who_waits_for_room_and_gives_up_passes_the_wake_up_on(endpoint: String) -> Result {
    let pull = Pull::with_options(narrow())?;
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::with_options(narrow().send_high_water_mark(1))?;
    push.connect(&endpoint)?;
    push.send("met").await?;
    pull.recv().await?;
    for round in 0..200 {
        super::until(|| push.stats().sent.queued == 0).await;
        let held = push.reserve().await?;
        let mut sending = Box::pin(push.send("given up"));
        let mut reserving = Box::pin(push.reserve());
        if round % 2 == 0 {
            assert!(futures::poll!(&mut sending).is_pending());
        } else {
            assert!(futures::poll!(&mut reserving).is_pending());
        }
        let second = tokio::spawn({
            let push = push.clone();
            async move { push.send("second").await }
        });
        turns_of_others(2).await;
        drop(held);
        turns_of_others(1).await;
        assert!(
            !second.is_finished(),
            "the first has the place, and does not look"
        );
        drop(sending);
        drop(reserving);
        second.await??;
        assert_eq!(pull.recv().await?.first(), "second");
    }
    Ok(())
}
