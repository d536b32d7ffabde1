//! Binding, closing and watching, dropped at any poll.

use std::io::ErrorKind;
use std::time::Duration;

use futures::StreamExt;
use pushsub::testing::{Listening, dial};
use pushsub::{BindError, Event, Pull, Push, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::lanes::{endpoints, narrow};
use super::{Runs, until};
use crate::support::{Result, assert_accounted, in_virtual_time, memory_name, on_every_transport};

on_every_transport! {
    a_close_that_is_dropped_closes_at_once_and_doubles_nothing;
    a_monitor_that_is_left_misses_no_event;
    a_bind_that_is_dropped_has_bound_nothing;
}

/// A8: what was written arrives, the rest is given up, and all of it is counted.
async fn a_close_that_is_dropped_closes_at_once_and_doubles_nothing(endpoint: String) -> Result {
    let mut runs = Runs::of("close");
    let pull = Pull::with_options(narrow())?;
    let endpoint = pull.bind(&endpoint).await?;
    for _ in 0..100 {
        let push = Push::with_options(narrow().send_high_water_mark(20))?;
        push.connect(&endpoint)?;
        push.send(vec![0; 20_000]).await?;
        pull.recv().await?;
        let mut accepted = 1_u32;
        while accepted < 15 && push.try_send(body(accepted)).is_ok() {
            accepted += 1;
        }
        let other = push.clone();
        runs.run(push.close(Duration::from_secs(5))).await;
        let late = other.send("late").await;
        assert!(matches!(late, Err(SendError::Closed(_))), "{late:?}");
        until(|| other.stats().sent.queued == 0).await;
        let sent = other.stats().sent;
        let mut next = 1;
        while u64::from(next) < sent.written {
            assert_eq!(pull.recv().await?.first(), &body(next));
            next += 1;
        }
        assert_eq!(sent.written + sent.dropped.total(), u64::from(accepted));
        assert_accounted(&other.stats());
    }
    runs.end(100);
    assert!(pull.try_recv().is_err());
    assert_accounted(&pull.stats());
    Ok(())
}

fn body(number: u32) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(20_000, 0);
    body
}

/// A8.
async fn a_monitor_that_is_left_misses_no_event(endpoint: String) -> Result {
    let mut runs = Runs::of("Monitor::next");
    let pull = Pull::new();
    let mut monitor = pull.monitor();
    let mut endpoints = endpoints(&endpoint);
    let mut bound: Vec<String> = Vec::new();
    let (mut listening, mut unbound) = (Vec::new(), Vec::new());
    let mut note = |event: Event| match event {
        Event::Listening { endpoint } => listening.push(endpoint.to_string()),
        Event::Unbound { endpoint } => unbound.push(endpoint.to_string()),
        other => unreachable!("nobody connects: {other:?}"),
    };
    for run in 0..600_u32 {
        if run % 4 == 0 {
            let next = endpoints.next().ok_or("they do not end")?;
            let endpoint = pull.bind(next.as_str()).await?;
            assert!(pull.unbind(&endpoint));
            bound.push(endpoint.to_string());
        }
        if let Some(event) = runs.run(monitor.next()).await {
            note(event.ok_or("the socket is open")?);
        }
    }
    runs.end(600);
    pull.close(Duration::ZERO).await;
    while let Some(event) = monitor.next().await {
        note(event);
    }
    assert_eq!(listening, bound);
    unbound.sort_unstable();
    bound.sort_unstable();
    assert_eq!(unbound, bound);
    Ok(())
}

/// A8: the name is free, or it is bound and the future has said so.
async fn a_bind_that_is_dropped_has_bound_nothing(endpoint: String) -> Result {
    let mut runs = Runs::of("bind");
    let mut endpoints = endpoints(&endpoint);
    let (mut done, mut taken) = (0, 0);
    while done < 120 {
        let mut name = endpoints.next().ok_or("they do not end")?;
        let is_tcp = name.starts_with("tcp://");
        if is_tcp {
            // A name takes a while to look up, which the others need not do.
            let port = std::net::TcpListener::bind("127.0.0.1:0")?
                .local_addr()?
                .port();
            name = format!("tcp://localhost:{port}");
        }
        let pull = Pull::new();
        let bound = runs.run(pull.bind(name.as_str())).await;
        let other = Pull::new().bind(name.as_str()).await;
        // Another test may draw this port between; one that we leave bound would be taken again and again.
        let strangers = match &bound {
            Some(bound) => bound.as_ref().is_err_and(is_in_use),
            None => other.as_ref().is_err_and(is_in_use),
        };
        if is_tcp && strangers {
            taken += 1;
            assert!(taken < 4, "{name}: {other:?}");
            continue;
        }
        let bound = bound.transpose()?;
        assert_eq!(other.is_err(), bound.is_some(), "{name}: {other:?}");
        done += 1;
    }
    if endpoint.starts_with("tcp://") {
        runs.end(120);
    } else {
        runs.end_at_once(120);
    }
    Ok(())
}

fn is_in_use(error: &BindError) -> bool {
    matches!(error, BindError::Io { source, .. } if source.kind() == ErrorKind::AddrInUse)
}

/// A8: of the bare wires of a test.
#[test]
fn an_accept_that_is_dropped_loses_no_wire() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let mut runs = Runs::of("Listening::accept");
        let (mut dialled, mut accepted) = (0_u32, 0_u32);
        let mut wires = Vec::new();
        for run in 0..600_u32 {
            // Out of step with the polls, so that every number of them has to wait at times.
            if run % 5 < 2 {
                let mut wire = dial(&name)?;
                wire.write_u32(dialled).await?;
                wires.push(wire);
                dialled += 1;
            }
            if let Some(wire) = runs.run(listening.accept()).await {
                assert_eq!(wire?.read_u32().await?, accepted);
                accepted += 1;
            }
        }
        runs.end(600);
        while accepted < dialled {
            assert_eq!(listening.accept().await?.read_u32().await?, accepted);
            accepted += 1;
        }
        Ok(())
    })
}
