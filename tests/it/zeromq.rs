//! Sockets of the crate `zeromq` as sides of a device.

use std::time::Duration;

use pushsub::zeromq::{Duplex, Inbound, Outbound};
use pushsub::{Dealer, Message, Proxy, Pull, Push, Receiving, Router, Sending};
use zeromq::{DealerSocket, PullSocket, PushSocket, RepSocket, Socket, SocketRecv, SocketSend};

use crate::support::{Result, in_real_time};

/// A request as a REQ sends it.
fn request(body: &'static str) -> Message {
    Message::from_frames(vec!["".into(), body.into()]).expect("two frames")
}

/// A worker that answers each request with itself.
async fn worker(endpoint: &str) -> Result<tokio::task::JoinHandle<()>> {
    let mut worker = RepSocket::new();
    worker.connect(endpoint).await?;
    Ok(tokio::spawn(async move {
        while let Ok(request) = worker.recv().await {
            if worker.send(request).await.is_err() {
                return;
            }
        }
    }))
}

/// D2: the first request waits for a worker, and a worker that dies ends nothing.
#[test]
fn a_queue_with_their_dealer_as_its_back_outlives_its_workers() -> Result {
    in_real_time(async {
        let front = Router::new();
        let clients = front.bind("tcp://127.0.0.1:*").await?;
        let mut back = DealerSocket::new();
        let workers = back.bind("tcp://127.0.0.1:0").await?.to_string();
        let proxy = Proxy::new(front, Duplex::new(back.split()));
        let handle = proxy.handle();
        tokio::spawn(proxy.run());

        let client = Dealer::new();
        client.connect(&clients)?;
        client.send(request("nobody is there yet")).await?;
        while handle.stats().forth.received == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            let worker = worker(&workers).await?;
            // One may go to the worker that has just died: it is asked again.
            loop {
                let reply = tokio::time::timeout(Duration::from_millis(500), client.recv());
                if let Ok(reply) = reply.await {
                    assert_eq!(reply?.frames().len(), 2);
                    break;
                }
                client.send(request("again")).await?;
            }
            worker.abort();
            let ended = worker.await;
            assert!(ended.is_err_and(|error| error.is_cancelled()));
            client.send(request("the next")).await?;
        }
        Ok(())
    })
}

#[test]
fn a_streamer_between_their_sockets_keeps_the_order() -> Result {
    in_real_time(async {
        let (mut front, mut back) = (PullSocket::new(), PushSocket::new());
        let source = front.bind("tcp://127.0.0.1:0").await?.to_string();
        let target = back.bind("tcp://127.0.0.1:0").await?.to_string();
        let front = Receiving::new(Inbound::new(front));
        let proxy = Proxy::new(front, Sending::new(Outbound::new(back)));
        let handle = proxy.handle();
        tokio::spawn(proxy.run());
        let push = Push::new();
        push.connect(&source)?;
        for number in 0..500_u32 {
            push.send(number.to_string()).await?;
        }
        let pull = Pull::new();
        pull.connect(&target)?;
        for number in 0..500_u32 {
            assert_eq!(pull.recv().await?.first(), number.to_string().as_bytes());
        }
        assert_eq!(handle.terminate().await.forth.refused, 0);
        Ok(())
    })
}
