//! Many tasks on one socket, on a runtime with two workers.

use std::time::Duration;

use pushsub::{Dealer, Options, Pull, Push, Router};

use crate::support::{Result, assert_accounted, on_two_workers};

/// A6: nothing is lost or doubled, and each task's messages stay in order.
#[test]
fn eight_tasks_send_on_one_handle_and_four_receive_on_another() -> Result {
    on_two_workers(async {
        const EACH: u32 = 20_000;
        let pull = Pull::new();
        let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
        let push = Push::new();
        push.connect(&endpoint)?;
        let senders: Vec<_> = (0..8_u32)
            .map(|sender| {
                let push = push.clone();
                tokio::spawn(async move {
                    for number in 0..EACH {
                        push.send((sender * EACH + number).to_be_bytes().to_vec())
                            .await
                            .expect("open");
                    }
                })
            })
            .collect();
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let pull = pull.clone();
                tokio::spawn(async move {
                    let mut numbers = Vec::new();
                    while let Ok(message) = pull.recv().await {
                        let octets = message.first()[..].try_into().expect("four octets");
                        numbers.push(u32::from_be_bytes(octets));
                    }
                    numbers
                })
            })
            .collect();
        for sender in senders {
            sender.await?;
        }
        assert_eq!(push.clone().close(Duration::from_secs(10)).await.unsent, 0);
        let total = u64::from(8 * EACH);
        while pull.stats().received.delivered < total {
            tokio::task::yield_now().await;
        }
        assert_accounted(&push.stats());
        assert_accounted(&pull.stats());
        pull.close(Duration::ZERO).await;
        let mut all = Vec::new();
        for receiver in receivers {
            let numbers = receiver.await?;
            for sender in 0..8 {
                let of_one = numbers.iter().filter(|number| **number / EACH == sender);
                assert!(
                    of_one.is_sorted(),
                    "what one task sent stays in order at one receiver"
                );
            }
            all.extend(numbers);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..8 * EACH));
        Ok(())
    })
}

/// Requests and replies cross on both ends at once, through small pipes.
#[test]
fn a_router_answers_many_dealers_at_once() -> Result {
    on_two_workers(async {
        const EACH: u32 = 3_000;
        // Above what the dealers have in flight, so that the router drops nothing.
        // Above twice what a dealer has in flight, so that the router drops nothing: a
        // batch that is being written counts until the write returns, and the dealer may
        // have received it, and asked for as much again, before.
        let router = Router::with_options(Options::default().send_high_water_mark(128))?;
        let endpoint = router.bind("tcp://127.0.0.1:*").await?;
        for _ in 0..2 {
            let router = router.clone();
            tokio::spawn(async move {
                while let Ok(message) = router.recv().await {
                    router.send(message).await.expect("an open socket");
                }
            });
        }
        let dealers = (0..8_u32).map(|_| {
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let dealer = Dealer::new();
                dealer.connect(&endpoint).expect("a good endpoint");
                let mut answered = Vec::new();
                for number in 0..EACH {
                    dealer
                        .send(number.to_be_bytes().to_vec())
                        .await
                        .expect("an open socket");
                    if number >= 32 {
                        answered.push(dealer.recv().await.expect("an open socket"));
                    }
                }
                while answered.len() < EACH as usize {
                    answered.push(dealer.recv().await.expect("an open socket"));
                }
                let mut numbers: Vec<u32> = answered
                    .iter()
                    .map(|message| {
                        u32::from_be_bytes(message.first()[..].try_into().expect("four"))
                    })
                    .collect();
                numbers.sort_unstable();
                assert!(numbers.into_iter().eq(0..EACH));
                assert_accounted(&dealer.stats());
            })
        });
        for dealer in dealers.collect::<Vec<_>>() {
            dealer.await?;
        }
        assert_accounted(&router.stats());
        Ok(())
    })
}
