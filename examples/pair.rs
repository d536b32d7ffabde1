//! Two that talk to each other and to nobody else.
//!
//! ```text
//! terminal 1: cargo run --example pair bind
//! terminal 2: cargo run --example pair connect
//! ```
//! Without an argument both run in this process.

use pushsub::Pair;

const ENDPOINT: &str = "tcp://127.0.0.1:5554";
type Result = std::result::Result<(), Box<dyn std::error::Error>>;

async fn talk(pair: Pair, name: &str) -> Result {
    for line in 1..=3 {
        pair.send(format!("line {line} of {name}")).await?; // waits for the other
        println!("{name} hears {:?}", pair.recv().await?);
    }
    Ok(()) // a socket that is dropped writes at once what it has
}

async fn bind() -> Result {
    let pair = Pair::new();
    pair.bind(ENDPOINT).await?;
    talk(pair, "ann").await
}

async fn connect() -> Result {
    let pair = Pair::new();
    pair.connect(ENDPOINT)?;
    talk(pair, "bob").await
}

#[tokio::main]
async fn main() -> Result {
    match std::env::args().nth(1).as_deref() {
        Some("bind") => bind().await,
        Some("connect") => connect().await,
        _ => tokio::try_join!(bind(), connect()).map(drop),
    }
}
