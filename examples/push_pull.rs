//! Work for whoever has room: one pushes tasks, the other pulls them.
//!
//! ```text
//! terminal 1: cargo run --example push_pull push
//! terminal 2: cargo run --example push_pull pull
//! ```
//! Without an argument one of each runs in this process.

use std::time::Duration;

use pushsub::{Pull, Push};

const ENDPOINT: &str = "tcp://127.0.0.1:5557";
type Result = std::result::Result<(), Box<dyn std::error::Error>>;

async fn push() -> Result {
    let push = Push::new();
    push.bind(ENDPOINT).await?;
    for task in 1..=5 {
        push.send(format!("task {task}")).await?; // waits while 1,000 are queued, or nobody is there
    }
    let closed = push.close(Duration::from_secs(5)).await;
    println!("all but {} tasks are handed out", closed.unsent);
    Ok(())
}

async fn pull() -> Result {
    let pull = Pull::new();
    pull.connect(ENDPOINT)?; // the other may come later
    for _ in 1..=5 {
        println!("pulled: {:?}", pull.recv().await?);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    match std::env::args().nth(1).as_deref() {
        Some("push") => push().await,
        Some("pull") => pull().await,
        _ => tokio::try_join!(push(), pull()).map(drop),
    }
}
