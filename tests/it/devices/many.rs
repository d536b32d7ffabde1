//! Devices with many peers.

use pushsub::testing::dial;
use pushsub::{Dealer, Proxy, Streamer};
use tokio::task::yield_now;

use crate::support::peer::{Peer, frame, frames_there};
use crate::support::{Result, a_turn, in_virtual_time, memory_name};

/// How many of 3,000 messages that come at once one of so many workers gets with each write.
async fn shares(workers: usize) -> Result<Vec<usize>> {
    let (front, back) = (memory_name(), memory_name());
    let _streamer = Streamer::builder()
        .front(format!("memory://{front}").as_str())
        .back(format!("memory://{back}").as_str())
        .spawn()
        .await?;
    let mut sender = Peer::shaken(dial(&front)?, "PUSH", 1).await?;
    let mut peers = Vec::new();
    for _ in 0..workers {
        peers.push(Peer::shaken(dial(&back)?, "PULL", 1).await?);
    }
    for _ in 0..100 {
        yield_now().await;
    }
    sender.write(&frame(false, b"!").repeat(3_000)).await?;
    let mut first = peers.remove(0);
    let looks = tokio::spawn(async move {
        let mut shares = Vec::new();
        for _ in 0..100 {
            a_turn().await;
            shares.push(frames_there(&mut first).await);
        }
        shares.retain(|share| *share > 0);
        shares
    });
    Ok(looks.await?)
}

/// A write costs more than many messages.
#[test]
fn a_streamer_with_many_workers_gathers_what_comes_at_once_for_each() -> Result {
    in_virtual_time(async {
        let shares = shares(100).await?;
        assert_eq!(shares.len(), 2, "eight batches and four: {shares:?}");
        assert_eq!(shares.iter().sum::<usize>(), 30);
        Ok(())
    })
}

#[test]
fn a_streamer_with_few_workers_hands_each_batch_on() -> Result {
    in_virtual_time(async {
        assert_eq!(shares(2).await?[1..5], [128; 4], "half of a batch each");
        Ok(())
    })
}

/// A task may do so much in a turn, which is no end of what has come.
#[test]
fn a_proxy_that_is_finished_forwards_all_that_has_come_of_many_peers() -> Result {
    in_virtual_time(async {
        let (front, back) = (Dealer::new(), Dealer::new());
        let mut peers = Vec::new();
        for side in [&front, &back] {
            let name = memory_name();
            side.bind(format!("memory://{name}").as_str()).await?;
            for _ in 0..100 {
                peers.push(Peer::shaken(dial(&name)?, "DEALER", 1).await?);
            }
        }
        let proxy = Proxy::new(front.clone(), back.clone());
        let handle = proxy.handle();
        handle.pause();
        let running = tokio::spawn(proxy.run());
        for peer in &mut peers {
            peer.write(&frame(false, b"!").repeat(2)).await?;
        }
        while front.stats().received.received + back.stats().received.received < 400 {
            yield_now().await;
        }
        let stats = handle.finish().await;
        assert_eq!(stats.forth.received + stats.home.received, 400);
        running.await?;
        Ok(())
    })
}
