//! One question, its one answer: a requester asks, a replier answers whoever asks.
//!
//! ```text
//! terminal 1: cargo run --example request_reply reply
//! terminal 2: cargo run --example request_reply request
//! ```
//! Without an argument one of each runs in this process.

use pushsub::{Rep, Req};

const ENDPOINT: &str = "tcp://127.0.0.1:5558";
type Result = std::result::Result<(), Box<dyn std::error::Error>>;

async fn reply() -> Result {
    let rep = Rep::new();
    rep.bind(ENDPOINT).await?;
    for _ in 0..3 {
        let (mut message, responder) = rep.recv().await?;
        message.push_back("yes");
        responder.send(message)?; // to who asked
    }
    Ok(()) // a socket that is dropped writes at once what it has
}

async fn request() -> Result {
    let req = Req::new();
    req.connect(ENDPOINT)?; // the other may come later
    for question in ["is it far?", "is it late?", "is it fast?"] {
        println!("{:?}", req.request(question).await?);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    match std::env::args().nth(1).as_deref() {
        Some("reply") => reply().await,
        Some("request") => request().await,
        _ => tokio::try_join!(reply(), request()).map(drop),
    }
}
