//! Every type of socket against every other: 21 pairs talk, 100 do not.

use std::time::Duration;

use futures::StreamExt;
use pushsub::{
    Dealer, Event, LinkError, Message, Monitor, Options, Pair, Pub, Pull, Push, Rep, Req, Router,
    SocketType, Sub, XPub, XSub,
};

use crate::support::{Result, in_virtual_time, memory_name};

/// A socket of a type that is known at run time, with its monitor.
macro_rules! any_socket {
    ($($type:ident),*) => {
        enum Any {
            $($type($type),)*
        }

        impl Any {
            fn new(socket_type: SocketType) -> Self {
                // A refused pair is to be seen once, not every few milliseconds.
                let minute = Duration::from_secs(60);
                let options = Options::default().reconnect(minute, minute);
                match socket_type {
                    $(SocketType::$type => Self::$type(
                        $type::with_options(options).expect("options of every type"),
                    ),)*
                }
            }

            async fn bind(&self, endpoint: &str) -> Result {
                match self {
                    $(Self::$type(socket) => socket.bind(endpoint).await?,)*
                };
                Ok(())
            }

            fn connect(&self, endpoint: &str) -> Result {
                match self {
                    $(Self::$type(socket) => socket.connect(endpoint)?,)*
                };
                Ok(())
            }

            fn monitor(&self) -> Monitor {
                match self {
                    $(Self::$type(socket) => socket.monitor(),)*
                }
            }
        }
    };
}

any_socket!(
    Pair, Pub, Sub, XPub, XSub, Push, Pull, Req, Rep, Dealer, Router
);

fn message(frames: &[&'static str]) -> Message {
    let mut message = Message::from(frames[0]);
    for frame in &frames[1..] {
        message.push_back(*frame);
    }
    message
}

/// Moves a message each way that the two types allow.
async fn talk(left: &Any, right: &Any) -> Result {
    match (left, right) {
        (Any::Pair(left), Any::Pair(right)) => {
            left.send("there").await?;
            assert_eq!(right.recv().await?.first(), "there");
            right.send("and back").await?;
            assert_eq!(left.recv().await?.first(), "and back");
        }
        (Any::Push(push), Any::Pull(pull)) => {
            push.send(message(&["a", "b"])).await?;
            assert_eq!(pull.recv().await?, message(&["a", "b"]));
        }
        (Any::Dealer(left), Any::Dealer(right)) => {
            left.send("there").await?;
            assert_eq!(right.recv().await?.first(), "there");
            right.send("and back").await?;
            assert_eq!(left.recv().await?.first(), "and back");
        }
        (Any::Dealer(dealer), Any::Router(router)) => {
            dealer.send("there").await?;
            router.send(router.recv().await?).await?;
            assert_eq!(dealer.recv().await?.first(), "there");
        }
        (Any::Dealer(dealer), Any::Rep(rep)) => {
            dealer.send(message(&["", "question"])).await?;
            let (question, responder) = rep.recv().await?;
            responder.send(question)?;
            assert_eq!(dealer.recv().await?, message(&["", "question"]));
        }
        (Any::Req(req), Any::Rep(rep)) => {
            let answering = async {
                let (question, responder) = rep.recv().await?;
                responder.send(question)?;
                Result::Ok(())
            };
            let (answer, answered) = tokio::join!(req.request("question"), answering);
            answered?;
            assert_eq!(answer?.first(), "question");
        }
        (Any::Req(req), Any::Router(router)) => {
            let answering = async {
                let question = router.recv().await?;
                assert_eq!(question.frames()[1..], ["", "question"]);
                router.send(question).await?;
                Result::Ok(())
            };
            let (answer, answered) = tokio::join!(req.request("question"), answering);
            answered?;
            assert_eq!(answer?.first(), "question");
        }
        // Neither knows the other's name, which a ROUTER learns from a message alone.
        (Any::Router(_), Any::Router(_)) => {}
        (Any::Pub(_) | Any::XPub(_), Any::Sub(_) | Any::XSub(_)) => {
            publish(left, right).await?;
        }
        _ => return Err("this pair has no way to talk".into()),
    }
    Ok(())
}

async fn publish(publisher: &Any, subscriber: &Any) -> Result {
    match subscriber {
        Any::Sub(sub) => sub.subscribe("topic"),
        Any::XSub(xsub) => xsub.send("\x01topic").await?,
        _ => unreachable!("no subscriber"),
    }
    if let Any::XPub(publisher) = publisher {
        assert_eq!(publisher.recv().await?.first(), "\x01topic");
    }
    loop {
        let unmatched = match publisher {
            Any::Pub(publisher) => {
                publisher.send(message(&["topic", "body"])).await?;
                publisher.stats().unmatched
            }
            Any::XPub(publisher) => {
                publisher.send(message(&["topic", "body"])).await?;
                publisher.stats().unmatched
            }
            _ => unreachable!("no publisher"),
        };
        tokio::task::yield_now().await;
        let received = match subscriber {
            Any::Sub(sub) => sub.try_recv(),
            Any::XSub(xsub) => xsub.try_recv(),
            _ => unreachable!("no subscriber"),
        };
        if let Ok(received) = received {
            assert_eq!(received, message(&["topic", "body"]));
            return Ok(());
        }
        assert!(unmatched < 1_000, "the subscription never arrived");
    }
}

/// Nothing where the two shook hands, or else why they did not.
async fn joined(monitor: &mut Monitor) -> Option<LinkError> {
    loop {
        match monitor.next().await {
            Some(Event::Connected { .. }) => return None,
            Some(Event::Refused { reason, .. } | Event::Retrying { reason, .. }) => {
                return Some(reason);
            }
            Some(_) => {}
            None => unreachable!("the socket is open"),
        }
    }
}

/// A1, N08, BI-16: all 121 pairs, each of both roles of bind and connect.
#[test]
fn of_all_pairs_of_types_those_talk_that_may() -> Result {
    in_virtual_time(async {
        let mut legal = 0;
        for left_type in SocketType::ALL {
            for right_type in SocketType::ALL {
                let name = format!("memory://{}", memory_name());
                let (left, right) = (Any::new(left_type), Any::new(right_type));
                let (mut ours, mut theirs) = (left.monitor(), right.monitor());
                left.bind(&name).await?;
                right.connect(&name)?;
                let reasons = [joined(&mut ours).await, joined(&mut theirs).await];
                let may = left_type.accepts(right_type);
                let joined = reasons.each_ref().map(Option::is_none);
                assert_eq!(joined, [may, may], "{left_type} and {right_type}");
                // One end says why; the other may find the wire closed before it reads that.
                let said = |reason: &LinkError| matches!(reason, LinkError::Handshake(_));
                assert_eq!(reasons.iter().flatten().any(said), !may, "{reasons:?}");
                if may {
                    legal += 1;
                    let talked = match talk(&left, &right).await {
                        Ok(()) => Ok(()),
                        Err(_) => talk(&right, &left).await,
                    };
                    talked.map_err(|error| format!("{left_type}, {right_type}: {error}"))?;
                }
            }
        }
        assert_eq!(legal, 21);
        Ok(())
    })
}
