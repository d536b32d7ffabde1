//! Misuse by the program itself: futures dropped anywhere, sockets used when closed or without a runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use pushsub::{Dealer, Message, Options, Pair, Pull, Push, Rep, Req, Router, Sub, XPub};
use tokio::time::timeout;

use crate::support::tally::Row;
use crate::support::victim::{Victim, soon};
use crate::support::{Result, in_virtual_time, memory_name, settle};

/// Polls a future so often at most, then drops it. Its output, if it came to one.
async fn dropped_at<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    // What nobody wakes any more is dropped as well.
    let polling = poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    timeout(Duration::from_millis(1), polling)
        .await
        .ok()
        .flatten()
}

/// Endpoints of the three transports that need no kernel's clock.
fn endpoint(transport: &str) -> String {
    format!("{transport}://{}", memory_name())
}

/// A8, BI-113: `recv` dropped at each of its polls loses nothing and repeats nothing.
#[test]
fn a_dropped_recv_loses_nothing() -> Result {
    let mut row = Row::new("A8 recv");
    for transport in ["memory", "inproc"] {
        for polls in 0..4 {
            let told = in_virtual_time(async {
                let endpoint = endpoint(transport);
                let options = || Options::default().send_high_water_mark(3);
                let pull = Pull::with_options(options().receive_high_water_mark(2))?;
                pull.bind(endpoint.as_str()).await?;
                let push = Push::with_options(options())?;
                push.connect(endpoint.as_str())?;
                let mut next = 0_u32;
                let sending = async {
                    for number in 0..2_000_u32 {
                        push.send(number.to_be_bytes().to_vec()).await?;
                    }
                    Ok::<_, Box<dyn std::error::Error>>(())
                };
                let receiving = async {
                    while next < 2_000 {
                        let message = match dropped_at(polls, pull.recv()).await {
                            Some(message) => message?,
                            None => soon("a message", pull.recv()).await??,
                        };
                        if message.first() != &next.to_be_bytes()[..] {
                            return Err(format!("{message:?} in place of {next}").into());
                        }
                        next += 1;
                    }
                    Ok(())
                };
                let (sent, received): (Result, Result) = tokio::join!(sending, receiving);
                sent.and(received)
            });
            row.note(format_args!("{transport} {polls} polls"), told);
            row.held(1_999);
        }
    }
    row.finish()
}

/// A8, BI-113: `send` dropped at each of its polls has sent once or not at all.
#[test]
fn a_dropped_send_has_sent_once_or_not_at_all() -> Result {
    let mut row = Row::new("A8 send");
    for transport in ["memory", "inproc"] {
        for polls in 0..4 {
            let told = in_virtual_time(dropped_sends(endpoint(transport), polls));
            row.note(format_args!("{transport} {polls} polls"), told);
            row.held(499);
        }
    }
    row.finish()
}

async fn dropped_sends(endpoint: String, polls: usize) -> Result {
    let options = Options::default().send_high_water_mark(2);
    let push = Push::with_options(options)?;
    let pull = Pull::with_options(Options::default().receive_high_water_mark(2))?;
    pull.bind(endpoint.as_str()).await?;
    push.connect(endpoint.as_str())?;
    let mut sent = Vec::new();
    let mut heard = Vec::new();
    for number in 0..500_u32 {
        let sending = push.send(number.to_be_bytes().to_vec());
        if dropped_at(polls, sending).await.transpose()?.is_some() {
            sent.push(number);
        }
        if number % 7 == 0 {
            settle().await;
            while let Ok(message) = pull.try_recv() {
                heard.push(number_of(&message));
            }
        }
    }
    push.send(u32::MAX.to_be_bytes().to_vec()).now_or_never();
    while let Ok(message) = timeout(Duration::from_millis(200), pull.recv()).await {
        heard.push(number_of(&message?));
    }
    heard.retain(|number| *number != u32::MAX);
    if heard == sent {
        return Ok(());
    }
    Err(format!("{} were sent, {} heard", sent.len(), heard.len()).into())
}

fn number_of(message: &Message) -> u32 {
    let octets = message.first().first_chunk().copied();
    octets.map_or(0, u32::from_be_bytes)
}

/// A8: a request dropped at each of its polls, and the next gets its own reply.
#[test]
fn a_dropped_request_leaves_the_next_its_own_reply() -> Result {
    let mut row = Row::new("A8 request");
    for transport in ["memory", "inproc"] {
        for polls in 0..4 {
            let told = in_virtual_time(async {
                let endpoint = endpoint(transport);
                let rep = Rep::new();
                rep.bind(endpoint.as_str()).await?;
                let req = Req::new();
                req.connect(endpoint.as_str())?;
                let serving = async {
                    loop {
                        let (request, responder) = rep.recv().await?;
                        responder.send(request)?;
                    }
                };
                let asking = async {
                    for number in 0..100 {
                        dropped_at(polls, req.request(format!("dropped {number}"))).await;
                        let wanted = format!("whole {number}");
                        let limit = Duration::from_secs(60);
                        let reply = timeout(limit, req.request(wanted.clone())).await??;
                        if reply.first() != wanted.as_bytes() {
                            return Err(format!("{reply:?} in place of {wanted}").into());
                        }
                    }
                    Ok(())
                };
                let told: Result = tokio::select! {
                    told = asking => told,
                    told = serving => told,
                };
                told
            });
            row.note(format_args!("{transport} {polls} polls"), told);
            row.held(99);
        }
    }
    row.finish()
}

/// A8, BI-113: two that receive at once, one of which gives up all the time, get each message once.
#[test]
fn two_that_receive_at_once_get_each_message_once() -> Result {
    let mut row = Row::new("BI-113 two");
    for transport in ["memory", "inproc"] {
        let told = in_virtual_time(async {
            let endpoint = endpoint(transport);
            let pull = Pull::new();
            pull.bind(endpoint.as_str()).await?;
            let push = Push::new();
            push.connect(endpoint.as_str())?;
            const COUNT: usize = 3_000;
            let patient = async {
                let mut heard = Vec::new();
                while let Ok(Ok(message)) = timeout(Duration::from_secs(1), pull.recv()).await {
                    heard.push(number_of(&message));
                }
                heard
            };
            let hasty = async {
                let mut heard = Vec::new();
                for _ in 0..COUNT {
                    if let Some(Ok(message)) = dropped_at(1, pull.recv()).await {
                        heard.push(number_of(&message));
                    }
                    tokio::task::yield_now().await;
                }
                heard
            };
            let sending = async {
                for number in 0..COUNT as u32 {
                    push.send(number.to_be_bytes().to_vec()).await?;
                }
                Ok::<_, pushsub::SendError>(())
            };
            let (mut one, other, sent) = tokio::join!(patient, hasty, sending);
            sent?;
            one.extend(other);
            one.sort_unstable();
            let each = (0..COUNT as u32).eq(one.iter().copied());
            each.then_some(())
                .ok_or_else(|| format!("{} were heard", one.len()).into())
        });
        row.note(transport, told);
        row.held(2_999);
    }
    row.finish()
}

/// BI-113: a closed socket says so, whatever is asked of it, and `close` never hangs.
#[test]
fn a_closed_socket_says_so() -> Result {
    let mut row = Row::new("BI-113 closed");
    for transport in ["memory", "inproc", "tcp"] {
        let told = in_virtual_time(async {
            let endpoint = match transport {
                "tcp" => "tcp://127.0.0.1:9".to_owned(),
                _ => endpoint(transport),
            };
            let linger = Duration::from_millis(50);
            macro_rules! closed {
                ($kind:ident: $($call:expr),*) => {{
                    let socket = $kind::new();
                    socket.connect(endpoint.as_str())?;
                    let other = socket.clone();
                    let limit = linger + Duration::from_millis(100);
                    timeout(limit, socket.close(linger)).await?;
                    if other.connect(endpoint.as_str()).is_ok() || other.bind("memory://x").await.is_ok() {
                        return Err("it goes on".into());
                    }
                    $({
                        let call: fn(&$kind) -> bool = $call;
                        if !call(&other) {
                            return Err(concat!(stringify!($kind), " goes on").into());
                        }
                    })*
                }};
            }
            closed!(Push: |socket| socket.try_send("x").is_err(), |socket| matches!(socket.send("x").now_or_never(), Some(Err(_))));
            closed!(Pull: |socket| socket.try_recv().is_err(), |socket| matches!(socket.recv().now_or_never(), Some(Err(_))));
            closed!(Dealer: |socket| socket.try_send("x").is_err(), |socket| socket.try_recv().is_err());
            closed!(Router: |socket| socket.try_send("x").is_err(), |socket| socket.try_recv().is_err());
            closed!(Pair: |socket| socket.try_send("x").is_err(), |socket| socket.try_recv().is_err());
            closed!(Sub: |socket| socket.try_recv().is_err(), |socket| { socket.subscribe("x"); true });
            closed!(XPub: |socket| socket.try_send("x").is_err(), |socket| socket.try_recv().is_err());
            closed!(Req: |socket| matches!(socket.request("x").now_or_never(), Some(Err(_))));
            closed!(Rep: |socket| socket.try_recv().is_err());
            Ok(())
        });
        row.note(transport, told);
        row.held(8);
    }
    row.finish()
}

/// BI-113: whoever waits when the socket is closed is told, and nothing is left hanging.
#[test]
fn who_waits_is_told_of_the_close() -> Result {
    let mut row = Row::new("BI-113 waits");
    for kind in pushsub::SocketType::ALL {
        let told = in_virtual_time(async {
            let socket = Victim::new(kind, Options::default())?;
            socket.bind(&endpoint("memory")).await?;
            let waiting = socket.recv();
            if matches!(
                kind,
                pushsub::SocketType::Pub | pushsub::SocketType::Push | pushsub::SocketType::Req
            ) {
                return Ok(());
            }
            let closing = async {
                settle().await;
                match socket.clone() {
                    Victim::Pair(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::Sub(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::XPub(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::XSub(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::Pull(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::Rep(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::Dealer(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::Router(socket) => drop(socket.close(Duration::ZERO).await),
                    Victim::Pub(_) | Victim::Push(_) | Victim::Req(_) => {}
                }
            };
            let (heard, ()) = tokio::join!(soon("the close", waiting), closing);
            heard?
                .err()
                .map(drop)
                .ok_or_else(|| "a message came".into())
        });
        row.note(kind, told);
    }
    row.finish()
}

/// BI-113: outside of a runtime, and when it is gone, there are errors and no panics.
#[test]
fn without_a_runtime_there_are_errors() -> Result {
    let mut row = Row::new("BI-113 runtime");
    for kind in pushsub::SocketType::ALL {
        let told = (|| {
            let socket = Victim::new(kind, Options::default())?;
            if socket.connect("tcp://127.0.0.1:9").is_ok() {
                return Err("it connects without a runtime".into());
            }
            if !matches!(
                socket.bind("tcp://127.0.0.1:*").now_or_never(),
                Some(Err(_))
            ) {
                return Err("it binds without a runtime".into());
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (name, other) = (endpoint("memory"), endpoint("memory"));
            runtime.block_on(async {
                socket.bind(&name).await?;
                socket.connect(&other)
            })?;
            drop(runtime);
            // Whatever these say, they say it.
            socket.try_send(Message::from("x"));
            socket.try_recv();
            socket.stats();
            drop(socket);
            Ok(())
        })();
        row.note(kind, told);
    }
    row.finish()
}
