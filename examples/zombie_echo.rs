//! A service that answers with what it got, a client, and a listener to the client's responses.
//!
//! `cargo run --example zombie_echo`

use pushsub::{Client, Listener, Reply, Request, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let echo = |request: Request| async move { Ok(Reply::echo(&request)) };
    let server = Server::builder("my-service")
        .bind("tcp://127.0.0.1:*")
        .serve(echo)
        .await?;
    let instance = server.instance().ok_or("the server was bound")?;

    let mut listener = Listener::connect("my-service", "my-client-id", instance.clone()).await?;
    let client = Client::builder("my-service")
        .client_id("my-client-id")
        .connect(instance)
        .await?;
    client.request("echo").raw("echo this").push().await?;

    let response = listener.next().await.ok_or("the listener ended")?;
    println!("{}", String::from_utf8_lossy(response.outcome?.bytes()));
    client.close().await;
    server.close().await;
    Ok(())
}
