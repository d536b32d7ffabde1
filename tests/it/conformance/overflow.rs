//! What becomes of a message for a full queue: each policy to the message, for a peer that reads nothing.

use pushsub::{Event, LinkError, Overflow, Pub, SocketType, TrySendError};

use super::{joined, message, quiet, settled};
use crate::support::peer::{Peer, command};
use crate::support::{Result, assert_accounted, event, in_virtual_time};

/// The mark of the queue.
const MARK: u64 = 10;

/// A publisher with this policy, and a subscriber to everything that reads nothing.
async fn publisher(overflow: Overflow) -> Result<(Pub, Peer)> {
    let options = quiet().send_high_water_mark(MARK as usize);
    let publisher = Pub::with_options(options.overflow(overflow))?;
    let mut peer = joined(&publisher, SocketType::Sub).await?;
    peer.write(&command(b"\x09SUBSCRIBE")).await?;
    settled(&mut peer).await?;
    Ok((publisher, peer))
}

/// A body of which a wire holds six, with its number in front.
fn numbered(number: u8) -> Vec<u8> {
    vec![number; 10_000]
}

/// Publishes a hundred; returns how many were not refused.
async fn publish(publisher: &Pub) -> Result<u64> {
    let mut accepted = 0;
    for number in 0..100 {
        match publisher.try_send(numbered(number)) {
            Ok(()) => accepted += 1,
            Err(TrySendError::Full(message)) => assert_eq!(message.first(), &numbered(number)),
            Err(error) => return Err(error.into()),
        }
        tokio::task::yield_now().await;
    }
    assert_accounted(&publisher.stats());
    Ok(accepted)
}

/// The numbers of what the peer can read in the end.
async fn numbers(peer: &mut Peer, count: u64) -> Result<Vec<u8>> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(message(peer).await?[0][0]);
    }
    settled(peer).await?;
    Ok(numbers)
}

/// C4: what was first stays, all that follows is dropped.
#[test]
fn drop_newest_keeps_what_came_first() -> Result {
    in_virtual_time(async {
        let (publisher, mut peer) = publisher(Overflow::DropNewest).await?;
        assert_eq!(publish(&publisher).await?, 100);
        let sent = publisher.stats().sent;
        assert_eq!(sent.queued, MARK);
        assert_eq!(sent.dropped.total(), sent.dropped.full);
        assert_eq!(sent.dropped.full, 100 - sent.written - MARK);
        let kept = sent.written + MARK;
        let expected: Vec<u8> = (0..kept as u8).collect();
        assert_eq!(numbers(&mut peer, kept).await?, expected);
        Ok(())
    })
}

/// C4: the last ones stay, behind what was on its way already.
#[test]
fn drop_oldest_keeps_what_came_last() -> Result {
    in_virtual_time(async {
        let (publisher, mut peer) = publisher(Overflow::DropOldest).await?;
        assert_eq!(publish(&publisher).await?, 100);
        let sent = publisher.stats().sent;
        // One above the mark where all that waited was being written.
        assert!((MARK..=MARK + 1).contains(&sent.queued), "{sent:?}");
        assert_eq!(sent.dropped.total(), sent.dropped.replaced);
        let kept = sent.written + sent.queued;
        assert_eq!(sent.dropped.replaced, 100 - kept);
        let arrived = numbers(&mut peer, kept).await?;
        let begun = arrived
            .iter()
            .zip(0..)
            .take_while(|(number, place)| *number == place);
        let begun = begun.count();
        let newest: Vec<u8> = (100 - (kept as usize - begun) as u8..100).collect();
        assert_eq!(arrived[begun..], newest);
        assert!(newest.len() > 1 && begun as u64 >= sent.written);
        Ok(())
    })
}

/// C4: nothing is dropped, and what does not fit comes back.
#[test]
fn block_takes_what_it_has_room_for() -> Result {
    in_virtual_time(async {
        let (publisher, mut peer) = publisher(Overflow::Block).await?;
        let accepted = publish(&publisher).await?;
        let sent = publisher.stats().sent;
        assert_eq!((sent.queued, sent.dropped.total()), (MARK, 0));
        assert_eq!(sent.accepted, accepted);
        assert_eq!(accepted, sent.written + MARK);
        let expected: Vec<u8> = (0..accepted as u8).collect();
        assert_eq!(numbers(&mut peer, accepted).await?, expected);
        Ok(())
    })
}

/// C4: the first message that does not fit costs the peer its connection.
#[test]
fn disconnect_cuts_whoever_has_no_room() -> Result {
    in_virtual_time(async {
        let (publisher, _deaf) = publisher(Overflow::Disconnect).await?;
        let mut monitor = publisher.monitor();
        publish(&publisher).await?;
        event(&mut monitor, |event| {
            let Event::Disconnected { reason, .. } = event else {
                return false;
            };
            *reason == LinkError::TooSlow
        })
        .await;
        let stats = publisher.stats();
        assert_eq!(stats.sent.dropped.full, 1);
        assert_eq!(stats.sent.dropped.cut + stats.sent.dropped.discarded, MARK);
        assert_eq!(stats.unmatched, 100 - stats.sent.accepted);
        assert!(stats.peers.is_empty());
        Ok(())
    })
}
