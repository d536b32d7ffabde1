//! Devices that do not read for now: their peers are heard all the same.

use pushsub::testing::dial;
use pushsub::{Forwarder, Queue};
use tokio::task::yield_now;

use crate::support::peer::{Peer, command, frame};
use crate::support::{Result, in_virtual_time, memory_name};

/// A queue without workers, and so many clients that are played.
async fn queue_and_clients(count: usize) -> Result<(Queue, Vec<Peer>)> {
    let name = memory_name();
    let queue = Queue::builder()
        .front(format!("memory://{name}").as_str())
        .back(format!("memory://{}", memory_name()).as_str())
        .spawn()
        .await?;
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Peer::shaken(dial(&name)?, "DEALER", 1).await?);
    }
    settle().await;
    Ok((queue, clients))
}

/// Lets all that can run have its turn.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

async fn request(clients: &mut [Peer]) -> Result {
    for client in clients {
        client.write(&frame(false, b"request").repeat(2)).await?;
    }
    settle().await;
    Ok(())
}

/// All of them ask at once for a sign of life, and get it, several times.
async fn are_heard(clients: &mut [Peer]) -> Result {
    for _ in 0..3 {
        for client in &mut *clients {
            client.write(&command(b"\x04PING\0\0")).await?;
        }
        for client in &mut *clients {
            assert_eq!(client.frame().await?, (4, b"\x04PONG".to_vec()));
        }
    }
    Ok(())
}

/// H03, D3.
#[test]
fn the_clients_of_a_queue_that_waits_for_workers_are_heard() -> Result {
    in_virtual_time(async {
        let (_queue, mut clients) = queue_and_clients(3).await?;
        are_heard(&mut clients).await?;
        request(&mut clients).await?;
        are_heard(&mut clients).await
    })
}

#[test]
fn the_clients_of_a_queue_in_a_pause_are_heard() -> Result {
    in_virtual_time(async {
        let (queue, mut clients) = queue_and_clients(3).await?;
        queue.pause();
        are_heard(&mut clients).await?;
        request(&mut clients).await?;
        are_heard(&mut clients).await
    })
}

#[test]
fn the_clients_of_a_queue_that_has_ended_are_heard_until_it_closes() -> Result {
    in_virtual_time(async {
        let (queue, mut clients) = queue_and_clients(3).await?;
        request(&mut clients).await?;
        queue.handle().terminate().await;
        are_heard(&mut clients).await
    })
}

/// A peer that never stops: whatever it sends, the other is read in between.
#[test]
fn a_quiet_publisher_is_heard_while_another_floods_a_forwarder() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let _forwarder = Forwarder::builder()
            .front(format!("memory://{name}").as_str())
            .back(format!("memory://{}", memory_name()).as_str())
            .spawn()
            .await?;
        let mut loud = Peer::shaken(dial(&name)?, "PUB", 1).await?;
        let mut quiet = Peer::shaken(dial(&name)?, "PUB", 1).await?;
        settle().await;
        let flood = tokio::spawn(async move {
            let messages = frame(false, b"loud").repeat(1_000);
            for _ in 0..3_000 {
                loud.write(&messages).await.expect("the wire is open");
            }
        });
        settle().await;
        quiet.write(&command(b"\x04PING\0\0")).await?;
        assert_eq!(quiet.frame().await?, (4, b"\x04PONG".to_vec()));
        assert!(!flood.is_finished(), "it was to be heard meanwhile");
        flood.abort();
        Ok(())
    })
}
