//! Questions and answers in any order: a dealer asks twice, a router answers the last first.
//!
//! ```text
//! terminal 1: cargo run --example dealer_router router
//! terminal 2: cargo run --example dealer_router dealer
//! ```
//! Without an argument one of each runs in this process.

use pushsub::{Dealer, Router};

const ENDPOINT: &str = "tcp://127.0.0.1:5555";
type Result = std::result::Result<(), Box<dyn std::error::Error>>;

async fn router() -> Result {
    let router = Router::new();
    router.bind(ENDPOINT).await?;
    // Each begins with the identity of who asks, which says where the answer goes.
    let (first, second) = (router.recv().await?, router.recv().await?);
    for mut answer in [second, first] {
        answer.push_back("yes");
        router.send(answer).await?;
    }
    Ok(()) // a socket that is dropped writes at once what it has
}

async fn dealer() -> Result {
    let dealer = Dealer::new();
    dealer.connect(ENDPOINT)?;
    dealer.send("is it far?").await?;
    dealer.send("is it late?").await?;
    println!("{:?}", dealer.recv().await?);
    println!("{:?}", dealer.recv().await?);
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    match std::env::args().nth(1).as_deref() {
        Some("router") => router().await,
        Some("dealer") => dealer().await,
        _ => tokio::try_join!(router(), dealer()).map(drop),
    }
}
