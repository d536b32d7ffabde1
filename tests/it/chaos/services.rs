//! Calls over wires that go wrong: each has one end, which tells the truth, and none is executed twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use pushsub::{Broker, CallError, Client, Instance, Reply, Request, Server, ServerBuilder};
use tokio::time::timeout;

use super::faults::{Fault, faults};
use crate::support::chaos::Chaos;
use crate::support::{Result, in_virtual_time, memory_name};

/// Calls of a course, so many of them at a time.
const CALLS: u32 = 200;
const AT_A_TIME: usize = 10;

/// After so long nothing that was said is on its way.
const SILENCE: Duration = Duration::from_secs(60);

/// How often each number was handled.
type Handled = Arc<Mutex<HashMap<u32, usize>>>;

async fn serve(builder: ServerBuilder) -> Result<(Server, Handled)> {
    let handled = Handled::default();
    let counting = handled.clone();
    let server = builder.serve(move |request: Request| {
        let counting = counting.clone();
        async move {
            let number: u32 = request.decode()?;
            *counting.lock().entry(number).or_default() += 1;
            Reply::body(&(
                number,
                "a payload of some length ".repeat(number as usize % 20),
            ))
        }
    });
    Ok((server.await?, handled))
}

/// An instance behind a proxy for its requests and one for its responses.
async fn behind(instance: &Instance, seed: u64) -> Result<(Instance, [Chaos; 2])> {
    let requests = Chaos::before(&instance.requests, seed).await?;
    let responses = Chaos::before(&instance.responses, seed + 100).await?;
    let behind = Instance::new(requests.endpoint(), responses.endpoint())?;
    Ok((behind, [requests, responses]))
}

/// Calls, and holds each end against what was handled.
async fn call(client: &Client, handled: &Handled, fault: &Fault) -> Result {
    let numbers: Vec<u32> = (0..CALLS).collect();
    let mut well = 0;
    let mut rejected = Vec::new();
    for some in numbers.chunks(AT_A_TIME) {
        let calls = some.iter().map(|number| client.call("echo", number));
        let ends: Vec<std::result::Result<(u32, String), CallError>> = join_all(calls).await;
        for (number, end) in some.iter().zip(ends) {
            let handled = handled.lock().get(number).copied().unwrap_or(0);
            let tells_the_truth = match &end {
                Ok((echoed, _)) => echoed == number && handled == 1,
                Err(CallError::Rejected(_)) => handled == 0,
                Err(CallError::Unknown(_)) => handled <= 1,
                Err(_) => false,
            };
            assert!(
                tells_the_truth,
                "{number}: {end:?}, handled {handled} times"
            );
            well += usize::from(end.is_ok());
            if matches!(end, Err(CallError::Rejected(_))) {
                rejected.push(*number);
            }
        }
    }
    let stats = client.stats();
    assert_eq!((stats.submitted, stats.outstanding), (u64::from(CALLS), 0));
    // What was rejected, or was on its way when its call ended, is not executed later either.
    let _ = timeout(SILENCE, std::future::pending::<()>()).await;
    let handled = handled.lock();
    assert!(handled.values().all(|handled| *handled == 1));
    for number in rejected {
        assert!(!handled.contains_key(&number), "{number} was rejected");
    }
    let all = CALLS as usize;
    assert!(well == all || fault.cuts && well > all / 2, "{well} calls");
    Ok(())
}

/// Connections were made again where the fault cuts them, and only there.
fn check<'a>(fault: &Fault, proxies: impl ExactSizeIterator<Item = &'a Chaos>) -> Result {
    let least = proxies.len() as u64;
    let connections: u64 = proxies.map(Chaos::connections).sum();
    if fault.cuts == (connections > least) {
        return Ok(());
    }
    Err(format!("{connections} connections of {least}").into())
}

/// Runs a course through each fault, on a clock of its own.
fn through_each_fault(course: impl AsyncFn(&Fault, u64) -> Result) -> Result {
    for (seed, fault) in (1..).zip(faults()) {
        let outcome = in_virtual_time(course(&fault, seed));
        outcome.map_err(|error| format!("{}: {error}", fault.name))?;
    }
    Ok(())
}

/// FT-20: directly.
#[test]
fn each_call_has_one_end_that_tells_the_truth() -> Result {
    through_each_fault(async |fault, seed| {
        let name = format!("memory://{}", memory_name());
        let (server, handled) = serve(Server::builder("geo").bind(name)).await?;
        let instance = server.instance().ok_or("it is bound")?;
        let (behind, proxies) = behind(&instance, seed).await?;
        let _nemeses = proxies.each_ref().map(|chaos| fault.begin(chaos));
        let client = Client::builder("geo").connect(behind).await?;
        call(&client, &handled, fault).await?;
        check(fault, proxies.iter())
    })
}

/// FT-20: through a broker, whose worker is behind such a wire as well.
#[test]
fn each_call_through_a_broker_has_one_end_that_tells_the_truth() -> Result {
    through_each_fault(async |fault, seed| {
        let name = memory_name();
        let broker = Broker::builder()
            .front(format!("memory://{name}-front"))
            .back(format!("memory://{name}-back"))
            .spawn()
            .await?;
        let back = Chaos::before(&broker.back(), seed + 200).await?;
        let (behind, front) = behind(&broker.front(), seed).await?;
        let proxies = [&front[0], &front[1], &back];
        let _nemeses = proxies.map(|chaos| fault.begin(chaos));
        let worker = Server::builder("geo").connect(back.endpoint());
        let (_worker, handled) = serve(worker).await?;
        broker.wait_for_workers("geo", 1).await;
        let client = Client::builder("geo").connect(behind).await?;
        call(&client, &handled, fault).await?;
        check(fault, proxies.into_iter())
    })
}
