//! News for whoever subscribed: a publisher of the weather of two cities, and who wants one of them.
//!
//! ```text
//! terminal 1: cargo run --example publish_subscribe publish
//! terminal 2: cargo run --example publish_subscribe subscribe
//! ```
//! Without an argument one of each runs in this process.

use pushsub::{Sub, XPub};

const ENDPOINT: &str = "tcp://127.0.0.1:5556";
type Result = std::result::Result<(), Box<dyn std::error::Error>>;

async fn publish() -> Result {
    let publisher = XPub::new();
    publisher.bind(ENDPOINT).await?;
    publisher.recv().await?; // the first subscriber is there: nothing to sleep for
    for news in ["dublin: rain", "cork: sun", "dublin: more rain"] {
        publisher.send(news).await?; // to those whose topic it begins with
    }
    Ok(())
}

async fn subscribe() -> Result {
    let subscriber = Sub::new();
    subscriber.subscribe("dublin");
    subscriber.connect(ENDPOINT)?; // the publisher may come later
    println!("{:?}", subscriber.recv().await?);
    println!("{:?}", subscriber.recv().await?);
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    match std::env::args().nth(1).as_deref() {
        Some("publish") => publish().await,
        Some("subscribe") => subscribe().await,
        _ => tokio::try_join!(publish(), subscribe()).map(drop),
    }
}
