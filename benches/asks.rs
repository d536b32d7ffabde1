//! Requests from DEALER to ROUTER and back, or through a queue to two workers, in one process, for
//! callgrind to count the instructions of.
//!
//! `benches/README.md` has the commands. Two runs of different length tell what a request costs.

use std::error::Error;

use bytes::Bytes;
use pushsub::{Dealer, Endpoint, Queue, Router};

/// Requests that are read at once, at most.
const BATCH: usize = 1_024;

const USAGE: &str = "asks REQUESTS [IN_FLIGHT] [device]";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Answers each request with itself, until the process ends.
macro_rules! echo {
    ($socket:ident) => {
        tokio::spawn(async move {
            let mut requests = Vec::new();
            while $socket.recv_many(&mut requests, BATCH).await.is_ok() {
                for request in requests.drain(..) {
                    if $socket.send(request).await.is_err() {
                        return;
                    }
                }
            }
        })
    };
}

/// Two workers behind a queue. Returns where clients connect.
async fn behind_a_device() -> Result<(Queue, Endpoint)> {
    let builder = Queue::builder().front("tcp://127.0.0.1:*");
    let queue = builder.back("tcp://127.0.0.1:*").spawn().await?;
    for _ in 0..2 {
        let worker = Dealer::new();
        worker.connect(queue.back())?;
        echo!(worker);
    }
    let front = queue.front();
    Ok((queue, front))
}

/// Asks so often, with so many requests in flight.
async fn ask(endpoint: &Endpoint, requests: usize, in_flight: usize) -> Result {
    let dealer = Dealer::new();
    dealer.connect(endpoint)?;
    let payload = Bytes::from_static(&[7; 64]);
    let (mut sent, mut answered, mut answers) = (0, 0, Vec::new());
    while answered < requests {
        while sent < requests.min(answered + in_flight) {
            dealer.send(payload.clone()).await?;
            sent += 1;
        }
        answered += dealer.recv_many(&mut answers, BATCH).await?;
        answers.clear();
    }
    println!("{answered} answers");
    Ok(())
}

fn main() -> Result {
    // Cargo tells every bench that it is one.
    let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
    let mut number = |least| arguments.next().map_or(Ok(least), |text| text.parse());
    let requests: usize = number(BATCH).map_err(|_| USAGE)?;
    let in_flight: usize = number(64).map_err(|_| USAGE)?;
    let through_a_device = arguments.next().is_some_and(|text| text == "device");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if through_a_device {
            let (_queue, front) = behind_a_device().await?;
            return ask(&front, requests, in_flight).await;
        }
        let router = Router::new();
        let endpoint = router.bind("tcp://127.0.0.1:*").await?;
        echo!(router);
        ask(&endpoint, requests, in_flight).await
    })
}
