//! Calls, pushes and their ends, dropped at any poll; and the servers and listeners that begin and end.

use std::time::Duration;

use pushsub::{
    CallError, Client, HandlerError, Instance, Listener, Reply, Request, Server, ServerBuilder,
};

use super::{Runs, turns_of_others, until};
use crate::support::{Result, in_virtual_time, memory_name, on_every_transport};

on_every_transport! {
    a_call_that_is_dropped_gives_its_window_back;
    a_push_that_is_dropped_has_pushed_nothing;
    a_listener_that_is_left_hears_every_response;
}

/// Places in a client's window: few, so that calls have to wait for them.
const WINDOW: u32 = 3;

async fn echo(endpoint: &str) -> Result<(Server, Instance)> {
    let server = serving(endpoint).serve(handle).await?;
    let instance = server.instance().expect("it was bound");
    Ok((server, instance))
}

fn serving(endpoint: &str) -> ServerBuilder {
    Server::builder("geo").bind(endpoint)
}

/// Answers with what it got, after a turn of others.
async fn handle(request: Request) -> std::result::Result<Reply, HandlerError> {
    turns_of_others(1).await;
    Ok(Reply::echo(&request))
}

async fn narrow_client(instance: &Instance) -> Result<Client> {
    let client = Client::builder("geo").window(WINDOW);
    Ok(client.connect(instance.clone()).await?)
}

/// A8: each call has one end, and a call that was dropped has none and holds no place.
async fn a_call_that_is_dropped_gives_its_window_back(endpoint: String) -> Result {
    let (server, instance) = echo(&endpoint).await?;
    let client = narrow_client(&instance).await?;
    client.call::<_, u32>("echo", &0_u32).await?;
    let mut runs = [Runs::of("Client::call"), Runs::of("RequestBuilder::call")];
    let mut answered = 0;
    for number in 0..1_000_u32 {
        let echoed = match number % 2 {
            0 => runs[0].run(client.call::<_, u32>("echo", &number)).await,
            _ => {
                let request = client.request("echo").body(&number)?;
                let response = runs[1].run(request.call()).await;
                response.map(|response| response?.outcome?.decode())
            }
        };
        if let Some(echoed) = echoed {
            assert_eq!(echoed?, number);
            answered += 1;
        }
    }
    for runs in runs {
        runs.end(500);
    }
    for number in 0..2 * WINDOW {
        assert_eq!(client.call::<_, u32>("echo", &number).await?, number);
    }
    let stats = client.stats();
    assert_eq!(stats.outstanding, 0);
    // One whose reply came between its last poll and its drop has succeeded too.
    assert!(stats.succeeded > answered + u64::from(2 * WINDOW));
    let ends = stats.succeeded + stats.failed + stats.rejected + stats.unknown + stats.cancelled;
    assert_eq!(stats.submitted, ends);
    server.close().await;
    Ok(())
}

/// A8: every push that said its id has one end, whoever waits for it and gives up.
async fn a_push_that_is_dropped_has_pushed_nothing(endpoint: String) -> Result {
    let (server, instance) = echo(&endpoint).await?;
    let client = narrow_client(&instance).await?;
    let mut responses = client.responses();
    let mut runs = [
        Runs::of("Client::push"),
        Runs::of("RequestBuilder::push"),
        Runs::of("Responses::next"),
    ];
    let (mut pushed, mut ended) = (Vec::new(), Vec::new());
    for number in 0..900_u32 {
        let id = match number % 2 {
            0 => runs[0].run(client.push("echo", &number)).await,
            _ => {
                let request = client.request("echo").body(&number)?;
                runs[1].run(request.push()).await
            }
        };
        if let Some(id) = id {
            pushed.push((id?, number));
        }
        if let Some(response) = runs[2].run(responses.next()).await {
            let response = response.ok_or("the client is open")?;
            ended.push((response.id, response.outcome?.decode()?));
        }
    }
    for runs in runs {
        runs.end(450);
    }
    while ended.len() < pushed.len() {
        let response = responses.next().await.ok_or("the client is open")?;
        ended.push((response.id, response.outcome?.decode()?));
    }
    ended.sort_unstable();
    assert_eq!(ended, pushed);
    let stats = client.stats();
    assert_eq!(
        (stats.submitted, stats.outstanding),
        (pushed.len() as u64, 0)
    );
    server.close().await;
    Ok(())
}

/// A8.
async fn a_listener_that_is_left_hears_every_response(endpoint: String) -> Result {
    let (server, instance) = echo(&endpoint).await?;
    let mut connects = Runs::of("Listener::connect");
    for _ in 0..200 {
        let connecting = Listener::connect("geo", "web", instance.clone());
        connects.run(connecting).await.transpose()?;
    }
    connects.end(200);
    let mut listener = Listener::connect("geo", "web", instance.clone()).await?;
    let client = Client::builder("geo").client_id("web");
    let client = client.connect(instance).await?;
    let mut runs = Runs::of("Listener::next");
    let (mut pushed, mut heard) = (Vec::new(), Vec::new());
    for number in 0..400_u32 {
        if number % 3 == 0 {
            pushed.push(client.push("echo", &number).await?);
        }
        if let Some(response) = runs.run(listener.next()).await {
            heard.push(response.ok_or("it listens until it is dropped")?.id);
        }
    }
    runs.end(400);
    while heard.len() < pushed.len() {
        heard.push(listener.next().await.ok_or("it listens")?.id);
    }
    heard.sort_unstable();
    assert_eq!(heard, pushed);
    server.close().await;
    Ok(())
}

/// A8: what a future that begins something leaves behind when it is dropped: nothing, or all.
#[test]
fn a_beginning_that_is_dropped_has_begun_nothing() -> Result {
    in_virtual_time(async {
        let (mut serves, mut connects) = (
            Runs::of("ServerBuilder::serve"),
            Runs::of("ClientBuilder::connect"),
        );
        for _ in 0..200 {
            let endpoint = format!("memory://{}", memory_name());
            let server = serves.run(serving(&endpoint).serve(handle)).await;
            let server = server.transpose()?;
            let other = serving(&endpoint).serve(handle).await;
            assert_eq!(other.is_err(), server.is_some());
            let running = server.or(other.ok()).ok_or("one of them serves")?;
            let instance = running.instance().ok_or("it was bound")?;
            let connecting = Client::builder("geo").connect(instance);
            if let Some(client) = connects.run(connecting).await {
                assert_eq!(client?.call::<_, u32>("echo", &7_u32).await?, 7);
            }
            running.close().await;
        }
        serves.end_at_once(200);
        connects.end_at_once(200);
        Ok(())
    })
}

/// A8: a server that is told to end ends, and answers what it has; a client likewise.
#[test]
fn an_end_that_nobody_waits_for_comes_even_so() -> Result {
    in_virtual_time(async {
        let (mut servers, mut clients) = (Runs::of("Server::close"), Runs::of("Client::close"));
        for _ in 0..100 {
            let endpoint = format!("memory://{}", memory_name());
            let (server, instance) = echo(&endpoint).await?;
            let client = Client::builder("geo").connect(instance).await?;
            client.call::<_, u32>("echo", &1_u32).await?;
            let under_way = tokio::spawn({
                let client = client.clone();
                async move { client.call::<_, u32>("echo", &2_u32).await }
            });
            until(|| client.stats().submitted == 2).await;
            turns_of_others(20).await;
            servers.run(server.close()).await;
            assert_eq!(under_way.await??, 2);
            clients.run(client.clone().close()).await;
            let late = client.call::<_, u32>("echo", &3_u32).await;
            assert!(matches!(late, Err(CallError::Closed)), "{late:?}");
            // Whoever ended in the background has let go of the endpoint.
            let again = async {
                while serving(&endpoint).serve(handle).await.is_err() {
                    turns_of_others(1).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), again).await?;
        }
        servers.end(100);
        clients.end(100);
        Ok(())
    })
}
