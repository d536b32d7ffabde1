//! Servers and clients on real sockets: directly, and through a broker.
#![allow(clippy::panic, reason = "a handler panics to show what becomes of it")]

mod broker;
mod failures;

use std::time::Duration;

use futures::future::join_all;
use pushsub::{
    CallError, Client, HandlerError, Instance, Listener, Registry, Rejected, Reply, Request,
    Server, ServerBuilder, Static, Unknown,
};

use crate::support::{Result, in_virtual_time, memory_name, on_every_transport};

on_every_transport! {
    a_call_has_its_value;
    every_push_has_exactly_one_end;
    a_client_is_not_sent_what_is_for_another;
    a_hundred_cold_clients_get_a_hundred_answers;
    a_handlers_error_arrives_as_it_is;
    requests_of_one_key_run_in_order;
    a_full_queue_answers_overloaded;
    a_full_window_waits;
    a_live_view_without_instances_rejects_at_once;
    a_service_that_is_not_served_there_rejects_at_once;
    headers_travel_both_ways;
    what_no_socket_takes_is_refused_alone;
    a_listener_hears_the_responses_of_another;
    a_fresh_listener_hears_what_is_pushed_at_once;
    a_closed_client_says_so;
}

/// A server of `geo` that answers with what it got.
async fn echo(endpoint: &str) -> Result<Server> {
    serve(Server::builder("geo").bind(endpoint)).await
}

/// Runs these methods: `echo`, `fail`, `panic`, `wait` (for ever).
async fn serve(builder: ServerBuilder) -> Result<Server> {
    Ok(builder.serve(handle).await?)
}

#[expect(clippy::panic, reason = "that a handler panics is what is tested")]
async fn handle(request: Request) -> std::result::Result<Reply, HandlerError> {
    match request.method() {
        "echo" => Ok(Reply::echo(&request)),
        "fail" => Err(HandlerError::new("no", "I will not")),
        "panic" => panic!("on purpose"),
        "wait" => std::future::pending().await,
        other => Err(HandlerError::no_such_method(other)),
    }
}

async fn client(server: &Server) -> Result<Client> {
    Ok(Client::builder("geo").connect(instance(server)).await?)
}

fn instance(server: &Server) -> Instance {
    server.instance().expect("it was bound")
}

async fn a_call_has_its_value(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let client = client(&server).await?;
    for number in 0..100_u32 {
        let echoed: u32 = client.call("echo", &number).await?;
        assert_eq!(echoed, number);
    }
    let stats = client.stats();
    assert_eq!(
        (stats.succeeded, stats.outstanding, stats.late),
        (100, 0, 0)
    );
    server.close().await;
    Ok(())
}

async fn every_push_has_exactly_one_end(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let client = client(&server).await?;
    let mut pushed = Vec::new();
    for number in 0..1_000_u32 {
        pushed.push((client.push("echo", &number).await?, number));
    }
    let mut responses = client.responses();
    let mut ended = Vec::new();
    for _ in 0..1_000 {
        let response = responses.next().await.ok_or("the client is open")?;
        ended.push((response.id, response.outcome?.decode()?));
    }
    ended.sort_unstable();
    assert_eq!(ended, pushed);
    let stats = client.stats();
    assert_eq!(
        (stats.submitted, stats.succeeded, stats.outstanding),
        (1_000, 1_000, 0)
    );
    Ok(())
}

/// E2: `client-1` is a prefix of `client-10`.
async fn a_client_is_not_sent_what_is_for_another(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let builder = |id: &str| Client::builder("geo").client_id(id);
    let one = builder("client-1").connect(instance(&server)).await?;
    let ten = builder("client-10").connect(instance(&server)).await?;
    for number in 0..50_u32 {
        let (left, right) = futures::join!(one.call("echo", &number), ten.call("echo", &number));
        let (left, right): (u32, u32) = (left?, right?);
        assert_eq!((left, right), (number, number));
    }
    assert_eq!((one.stats().ignored, ten.stats().ignored), (0, 0));
    Ok(())
}

async fn a_hundred_cold_clients_get_a_hundred_answers(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let call = |number: u32| {
        let instance = instance(&server);
        async move {
            let client = Client::builder("geo").connect(instance).await?;
            client
                .call::<u32, u32>("echo", &number)
                .await
                .map_err(Box::<dyn std::error::Error>::from)
        }
    };
    for (number, echoed) in join_all((0..100).map(call)).await.into_iter().enumerate() {
        assert_eq!(usize::try_from(echoed?)?, number);
    }
    Ok(())
}

async fn a_handlers_error_arrives_as_it_is(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let client = client(&server).await?;
    let failed = client.call::<(), ()>("fail", &()).await;
    let (code, message) = ("no".to_owned(), "I will not".to_owned());
    assert_eq!(failed, Err(CallError::Handler { code, message }));
    let unknown = client.call::<(), ()>("nothing", &()).await;
    assert_eq!(unknown, Err(Rejected::NoSuchMethod.into()));
    let panicked = client.call::<(), ()>("panic", &()).await;
    assert!(matches!(panicked, Err(CallError::Handler { .. })));
    assert_eq!(client.call::<u8, u8>("echo", &1).await, Ok(1));
    Ok(())
}

async fn requests_of_one_key_run_in_order(endpoint: String) -> Result {
    let (ran, mut order) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |request: Request| {
        let ran = ran.clone();
        async move {
            let number: u32 = request.decode()?;
            // Whoever could overtake would, here.
            for _ in 0..number % 7 {
                tokio::task::yield_now().await;
            }
            let _ = ran.send((request.key().clone(), number));
            Ok(Reply::default())
        }
    };
    let server = Server::builder("geo")
        .bind(&endpoint)
        .serve(handler)
        .await?;
    let client = client(&server).await?;
    for number in 0..200_u32 {
        let key = if number % 2 == 0 { "even" } else { "odd" };
        client.request("any").key(key).body(&number)?.push().await?;
    }
    let mut seen = Vec::new();
    for _ in 0..200 {
        seen.push(order.recv().await.ok_or("the server runs")?);
    }
    for (key, first) in [("even", 0), ("odd", 1)] {
        let of_key = seen
            .iter()
            .filter(|(it, _)| it == key)
            .map(|(_, number)| *number);
        assert!(of_key.eq((first..200).step_by(2)), "{seen:?}");
    }
    Ok(())
}

async fn a_full_queue_answers_overloaded(endpoint: String) -> Result {
    let builder = Server::builder("geo")
        .bind(&endpoint)
        .concurrency(1)
        .queue(2);
    let server = serve(builder).await?;
    // It does not hold its own requests back by the credit that it is told: it takes four.
    let clients = [client(&server).await?, client(&server).await?];
    for client in &clients {
        for _ in 0..2 {
            client.push("wait", &()).await?;
        }
    }
    let [one, two] = &clients;
    let (mut first, mut second) = (one.responses(), two.responses());
    let refused = tokio::select! {
        response = first.next() => response,
        response = second.next() => response,
    };
    let outcome = refused.ok_or("the clients are open")?.outcome;
    assert_eq!(outcome, Err(Rejected::Overloaded.into()));
    Ok(())
}

async fn a_full_window_waits(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let client = Client::builder("geo")
        .window(2)
        .connect(instance(&server))
        .await?;
    let deadline = Duration::from_millis(300);
    for _ in 0..2 {
        client.request("wait").deadline(deadline).push().await?;
    }
    let third = client.request("echo").deadline(deadline / 3).push().await;
    assert_eq!(third, Err(Rejected::Expired.into()));
    assert_eq!(client.stats().outstanding, 2);
    // The two end at their deadline, and make room.
    assert_eq!(client.call::<u8, u8>("echo", &3).await, Ok(3));
    let end = client
        .responses()
        .next()
        .await
        .ok_or("the client is open")?;
    assert_eq!(end.outcome, Err(Unknown::DeadlinePassed.into()));
    Ok(())
}

async fn a_live_view_without_instances_rejects_at_once(_: String) -> Result {
    for client in [
        Client::builder("geo").connect(Registry::new()).await?,
        Client::builder("geo").connect(Static::new([])).await?,
    ] {
        let refused = client.call::<(), ()>("echo", &()).await;
        assert_eq!(refused, Err(Rejected::NoInstance.into()));
    }
    Ok(())
}

async fn a_service_that_is_not_served_there_rejects_at_once(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let client = Client::builder("other").connect(instance(&server)).await?;
    let refused = client.call::<(), ()>("echo", &()).await;
    assert_eq!(refused, Err(Rejected::NoSuchService.into()));
    Ok(())
}

async fn headers_travel_both_ways(endpoint: String) -> Result {
    let handler = |request: Request| async move {
        let seen = request.headers().value("traceparent").unwrap_or_default();
        Ok(Reply::raw("done").header("seen", seen))
    };
    let server = Server::builder("geo")
        .bind(&endpoint)
        .serve(handler)
        .await?;
    let client = client(&server).await?;
    let request = client.request("any").header("traceparent", "00-ab");
    let response = request.call().await?;
    assert_eq!(response.headers.value("seen"), Some("00-ab"));
    assert_eq!(response.outcome?.bytes(), "done");
    Ok(())
}

async fn what_no_socket_takes_is_refused_alone(endpoint: String) -> Result {
    let huge = |_: Request| async move { Ok(Reply::raw(vec![0; 16 << 20])) };
    let server = Server::builder("geo").bind(&endpoint).serve(huge).await?;
    let client = client(&server).await?;
    let outcome = client.request("any").call().await?.outcome;
    let code = |error| match error {
        CallError::Handler { code, .. } => code,
        other => other.to_string(),
    };
    assert_eq!(outcome.map_err(code), Err("reply_too_large".to_owned()));
    let request = client.request("any").raw(vec![0; 17 << 20]);
    assert_eq!(
        request.call().await?.outcome,
        Err(Rejected::Malformed.into())
    );
    assert_eq!((client.stats().gaps, server.stats().ignored), (0, 0));
    Ok(())
}

async fn a_listener_hears_the_responses_of_another(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let mut listener = Listener::connect("geo", "web-7", instance(&server)).await?;
    let client = Client::builder("geo").client_id("web-7");
    let client = client.connect(instance(&server)).await?;
    let id = client.push("echo", "hear me").await?;
    let heard = listener.next().await.ok_or("it listens")?;
    assert_eq!((heard.id, heard.method.as_str()), (id, "echo"));
    assert_eq!(heard.outcome?.decode::<String>()?, "hear me");
    Ok(())
}

async fn a_fresh_listener_hears_what_is_pushed_at_once(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let builder = Client::builder("geo").client_id("web-7");
    let client = builder.connect(instance(&server)).await?;
    let _: u32 = client.call("echo", &0).await?;
    two_hundred_fresh_listeners(&client, instance(&server)).await
}

/// Whether each of them hears what is pushed when it has come.
async fn two_hundred_fresh_listeners(client: &Client, instance: Instance) -> Result {
    let mut responses = client.responses();
    for number in 0..200_u32 {
        let mut listener = Listener::connect("geo", "web-7", instance.clone()).await?;
        let id = client.push("echo", &number).await?;
        responses.next().await.ok_or("the client is open")?;
        let heard = tokio::time::timeout(Duration::from_secs(10), listener.next());
        assert_eq!(heard.await?.ok_or("it listens")?.id, id, "{number}");
    }
    Ok(())
}

#[test]
fn a_listener_does_not_wait_for_ever_for_an_instance_that_is_down() -> Result {
    in_virtual_time(async {
        let server = echo(&format!("memory://{}", memory_name())).await?;
        let nobody = memory_name();
        let down = Instance::new(format!("memory://{nobody}"), format!("memory://{nobody}-2"))?;
        let both = Static::new([down, instance(&server)]);
        let mut listener = Listener::connect("geo", "web-7", both).await?;
        let client = Client::builder("geo").client_id("web-7");
        let client = client.connect(instance(&server)).await?;
        let id = client.push("echo", "hear me").await?;
        assert_eq!(listener.next().await.ok_or("it listens")?.id, id);
        Ok(())
    })
}

async fn a_closed_client_says_so(endpoint: String) -> Result {
    let server = echo(&endpoint).await?;
    let client = client(&server).await?;
    client.push("wait", &()).await?;
    let mut responses = client.responses();
    let other = client.clone();
    client.close().await;
    let end = responses.next().await.ok_or("its end is kept")?;
    assert_eq!(end.outcome, Err(CallError::Closed));
    assert!(responses.next().await.is_none());
    assert_eq!(other.push("echo", &1).await, Err(CallError::Closed));
    assert_eq!(
        other.call::<u8, u8>("echo", &1).await,
        Err(CallError::Closed)
    );
    Ok(())
}
