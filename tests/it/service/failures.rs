//! What is lost, late, cancelled, or stops.

use std::sync::Arc;
use std::time::Duration;

use pushsub::{
    CallError, Client, Discovery, HandlerError, Registry, Reply, Request, Server, Static, Unknown,
};
use tokio::sync::{mpsc, oneshot};

use super::{client, echo, instance, serve};
use crate::support::{Result, on_every_transport};

on_every_transport! {
    what_may_run_twice_goes_to_another_instance_when_one_dies;
    what_may_not_run_twice_is_unknown_when_its_instance_dies;
    a_deadline_ends_the_call_and_drops_the_handler;
    a_dropped_call_drops_its_handler;
    a_server_that_closes_fails_no_call;
    a_client_finds_a_server_that_comes_back;
    an_instance_that_joins_takes_its_share;
    an_unreachable_instance_is_waited_for_until_the_deadline;
    a_gap_in_the_responses_is_noticed;
}

/// Another endpoint of the same kind.
fn another(endpoint: &str, name: &str) -> String {
    if endpoint.starts_with("tcp://") {
        return endpoint.to_owned();
    }
    format!("{endpoint}-{name}")
}

/// Tells when it is dropped.
struct Told(mpsc::UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// A server whose handlers say that they started, never end, and say that they were dropped.
async fn stuck(endpoint: &str) -> Result<(Server, mpsc::UnboundedReceiver<&'static str>)> {
    let (tell, told) = mpsc::unbounded_channel();
    let handler = move |_: Request| {
        let tell = tell.clone();
        async move {
            let _ = tell.send("started");
            let _told = Told(tell);
            std::future::pending::<std::result::Result<Reply, HandlerError>>().await
        }
    };
    let server = Server::builder("geo").bind(endpoint).serve(handler).await?;
    Ok((server, told))
}

/// D11, FT-02.
async fn what_may_run_twice_goes_to_another_instance_when_one_dies(endpoint: String) -> Result {
    let registry = Registry::new();
    let (dying, mut told) = stuck(&endpoint).await?;
    let first = registry.register("geo", instance(&dying));
    let client = Client::builder("geo").connect(registry.clone()).await?;
    let request = client.request("echo").idempotent().body("again")?;
    let call = tokio::spawn({
        let client = client.clone();
        async move {
            let request = client.request("echo").key("k").idempotent();
            request.body("again")?.call().await
        }
    });
    assert_eq!(told.recv().await, Some("started"));
    let living = echo(&another(&endpoint, "b")).await?;
    let _second = registry.register("geo", instance(&living));
    drop(dying);
    let response = call.await??;
    assert_eq!(response.outcome?.decode::<String>()?, "again");
    assert_eq!(client.stats().repeated, 1);
    drop(first);
    assert!(request.call().await?.outcome.is_ok());
    Ok(())
}

async fn what_may_not_run_twice_is_unknown_when_its_instance_dies(endpoint: String) -> Result {
    let registry = Registry::new();
    let (dying, mut told) = stuck(&endpoint).await?;
    let _first = registry.register("geo", instance(&dying));
    let client = Client::builder("geo").connect(registry.clone()).await?;
    client.push("any", &()).await?;
    assert_eq!(told.recv().await, Some("started"));
    // One that could run it, and must not.
    let (living, mut other) = stuck(&another(&endpoint, "b")).await?;
    let _second = registry.register("geo", instance(&living));
    drop(dying);
    let end = client.responses().next().await.ok_or("it is open")?;
    assert_eq!(end.outcome, Err(Unknown::InstanceLost.into()));
    assert!(other.try_recv().is_err());
    assert_eq!(client.stats().repeated, 0);
    Ok(())
}

async fn a_deadline_ends_the_call_and_drops_the_handler(endpoint: String) -> Result {
    let (server, mut told) = stuck(&endpoint).await?;
    let client = client(&server).await?;
    let request = client.request("any").deadline(Duration::from_millis(300));
    let response = request.call().await?;
    assert_eq!(response.outcome, Err(Unknown::DeadlinePassed.into()));
    assert_eq!(told.recv().await, Some("started"));
    assert_eq!(told.recv().await, Some("dropped"));
    Ok(())
}

/// E5.
async fn a_dropped_call_drops_its_handler(endpoint: String) -> Result {
    let (server, mut told) = stuck(&endpoint).await?;
    let client = client(&server).await?;
    let calling = client.call::<(), ()>("any", &());
    tokio::select! {
        _ = calling => unreachable!("the handler never ends"),
        started = told.recv() => assert_eq!(started, Some("started")),
    }
    assert_eq!(told.recv().await, Some("dropped"));
    assert_eq!(client.stats().cancelled, 1);
    Ok(())
}

/// FT-12.
async fn a_server_that_closes_fails_no_call(endpoint: String) -> Result {
    let closing = echo(&endpoint).await?;
    let staying = echo(&another(&endpoint, "b")).await?;
    let view = Static::new([instance(&closing), instance(&staying)]);
    let client = Client::builder("geo").connect(view).await?;
    let (half, begin) = oneshot::channel();
    let calls = tokio::spawn({
        let client = client.clone();
        async move {
            let mut half = Some(half);
            for number in 0..1_000_u32 {
                if number == 500
                    && let Some(half) = half.take()
                {
                    let _ = half.send(());
                }
                assert_eq!(client.call::<u32, u32>("echo", &number).await, Ok(number));
            }
        }
    });
    begin.await?;
    closing.close().await;
    calls.await?;
    Ok(())
}

async fn a_client_finds_a_server_that_comes_back(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let place = instance(&server);
    let client = client(&server).await?;
    assert_eq!(client.call::<u8, u8>("echo", &1).await, Ok(1));
    server.close().await;
    let again = Server::builder("geo").bind(&place.requests);
    let _again = serve(again.bind_responses(&place.responses)).await?;
    assert_eq!(client.call::<u8, u8>("echo", &2).await, Ok(2));
    Ok(())
}

async fn an_instance_that_joins_takes_its_share(endpoint: String) -> Result {
    let registry = Registry::new();
    let first = echo(&endpoint).await?;
    let _first = registry.register("geo", instance(&first));
    let client = Client::builder("geo").connect(registry.clone()).await?;
    assert_eq!(client.call::<u8, u8>("echo", &1).await, Ok(1));
    let second = echo(&another(&endpoint, "b")).await?;
    let _second = registry.register("geo", instance(&second));
    // Idle instances take turns by chance: both have work before long.
    while second.stats().started == 0 {
        assert_eq!(client.call::<u8, u8>("echo", &2).await, Ok(2));
    }
    assert_eq!(client.stats().instances.len(), 2);
    Ok(())
}

async fn an_unreachable_instance_is_waited_for_until_the_deadline(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let place = instance(&server);
    server.close().await;
    let view: Arc<dyn Discovery> = Arc::new(place);
    let client = Client::builder("geo").connect(Shared(view)).await?;
    let request = client.request("echo").deadline(Duration::from_millis(200));
    let outcome = request.call().await?.outcome;
    assert_eq!(
        outcome,
        Err(CallError::Rejected(pushsub::Rejected::NoInstance))
    );
    Ok(())
}

/// A discovery that is shared, as programs have them.
struct Shared(Arc<dyn Discovery>);

impl Discovery for Shared {
    fn watch(&self, service: &str) -> pushsub::Watch {
        self.0.watch(service)
    }
}

/// The responses are larger together than what the server keeps for a client that reads nothing.
async fn a_gap_in_the_responses_is_noticed(endpoint: String) -> Result {
    let answer = Arc::new(vec![0_u8; 12 << 20]);
    let handler = move |_: Request| {
        let answer = answer.clone();
        async move { Ok(Reply::raw(bytes::Bytes::from_owner(Answer(answer)))) }
    };
    let server = Server::builder("geo")
        .bind(&endpoint)
        .concurrency(64)
        .serve(handler)
        .await?;
    let client = client(&server).await?;
    for _ in 0..40 {
        client.request("any").no_deadline().push().await?;
    }
    let mut responses = client.responses();
    let (mut whole, mut lost) = (0, 0);
    for _ in 0..40 {
        match responses.next().await.ok_or("it is open")?.outcome {
            Ok(_) => whole += 1,
            Err(CallError::Unknown(Unknown::Gap)) => lost += 1,
            Err(other) => return Err(other.into()),
        }
    }
    assert!(whole > 0 && lost > 0, "{whole} arrived, {lost} are unknown");
    Ok(())
}

/// One answer for all, so that the test keeps no copies.
struct Answer(Arc<Vec<u8>>);

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
