//! A program that moves to pushsub a socket at a time: its clients are already there, its worker
//! still uses the crate `zeromq`, as does one side of the device between them.
//!
//! `cargo run --example zeromq_migration --features zeromq`

use pushsub::zeromq::Duplex;
use pushsub::{Dealer, Proxy, Router};
use zeromq::{DealerSocket, RepSocket, Socket, SocketRecv, SocketSend};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let front = Router::new();
    let clients = front.bind("tcp://127.0.0.1:*").await?;
    let mut back = DealerSocket::new();
    let workers = back.bind("tcp://127.0.0.1:0").await?;
    let device = Proxy::new(front, Duplex::new(back.split()));
    let handle = device.handle();
    tokio::spawn(device.run());

    let mut worker = RepSocket::new();
    worker.connect(&workers.to_string()).await?;
    tokio::spawn(async move {
        while let Ok(request) = worker.recv().await {
            worker.send(request).await.ok();
        }
    });

    let client = Dealer::new();
    client.connect(&clients)?;
    let request = vec!["".into(), "hello".into()]; // as a REQ has it: a delimiter, then the body
    client
        .send(pushsub::Message::from_frames(request).ok_or("two frames")?)
        .await?;
    println!("{:?}", client.recv().await?);
    println!("{:?}", handle.terminate().await);
    Ok(())
}
