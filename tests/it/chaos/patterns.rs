//! Each pattern over a wire that goes wrong: what arrives is whole, in order and there once.

use std::time::Duration;

use pushsub::{Dealer, Message, Pair, Pub, Pull, Push, RecvError, Rep, Req, Router, Stats, Sub};
use tokio::time::timeout;

use super::faults::{Came, Fault, faults, number, numbered, options};
use crate::support::chaos::{Chaos, Faults, Strike, Way};
use crate::support::{Result, in_virtual_time, in_virtual_time_for, memory_name};

/// Messages of a course.
const MESSAGES: u32 = 300;

/// After so long without one, no message is on its way.
const SILENCE: Duration = Duration::from_secs(60);

/// Runs a course through each fault, on a clock of its own.
fn through_each_fault(course: impl AsyncFn(&Fault, u64) -> Result) -> Result {
    for (seed, fault) in (1..).zip(faults()) {
        let outcome = in_virtual_time(course(&fault, seed));
        outcome.map_err(|error| format!("{}: {error}", fault.name))?;
    }
    Ok(())
}

/// A proxy before a socket that `$bound` is, to be dialled by `$dialling`.
macro_rules! apart {
    ($bound:expr, $dialling:expr, $seed:expr) => {{
        let endpoint = $bound.bind(format!("memory://{}", memory_name())).await?;
        let chaos = Chaos::before(&endpoint, $seed).await?;
        $dialling.connect(chaos.endpoint())?;
        chaos
    }};
}

/// Takes what comes until nothing more does.
async fn take_all(
    receive: impl AsyncFn() -> std::result::Result<Message, RecvError>,
) -> Result<Came> {
    let mut came = Came::default();
    while let Ok(message) = timeout(SILENCE, receive()).await {
        came.take(&message?)?;
    }
    Ok(came)
}

/// All that was accepted is written, or given up with a reason, and no more came than was written.
fn account(came: &Came, sender: &Stats, receiver: &Stats, cuts: bool) -> Result {
    let (sent, received) = (sender.sent, receiver.received);
    let whole = sent.written + sent.dropped.total() + sent.queued == u64::from(MESSAGES)
        && sent.accepted == u64::from(MESSAGES)
        && received.delivered == u64::from(came.count())
        && received.received <= sent.written;
    let lossless = received.delivered == sent.accepted;
    if whole && (cuts || lossless) && came.count() > 0 {
        return Ok(());
    }
    Err(format!("{sent:?} and {received:?}").into())
}

/// FT-20: in order and whole, and all of it where no connection is cut.
#[test]
fn what_is_pushed_stays_in_order() -> Result {
    through_each_fault(async |fault, seed| {
        let (push, pull) = (Push::with_options(options())?, Pull::new());
        let chaos = apart!(pull, push, seed);
        let _nemesis = fault.begin(&chaos);
        let sending = async {
            for number in 0..MESSAGES {
                push.send(numbered(number)).await?;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let (sent, came) = tokio::join!(sending, take_all(async || pull.recv().await));
        sent?;
        account(&came?, &push.stats(), &pull.stats(), fault.cuts)?;
        fault.check(&chaos)
    })
}

/// FT-20: both ways at once.
#[test]
fn what_a_pair_says_stays_in_order_both_ways() -> Result {
    through_each_fault(async |fault, seed| {
        let (one, other) = (Pair::with_options(options())?, Pair::new());
        let chaos = apart!(other, one, seed);
        let _nemesis = fault.begin(&chaos);
        let say = async |pair: &Pair| -> Result {
            // Slow enough for some to come between two cuts.
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            for number in 0..MESSAGES {
                tick.tick().await;
                pair.send(numbered(number)).await?;
            }
            Ok(())
        };
        let (said, answered, heard, came) = tokio::join!(
            say(&one),
            say(&other),
            take_all(async || other.recv().await),
            take_all(async || one.recv().await),
        );
        said.and(answered)?;
        account(&heard?, &one.stats(), &other.stats(), fault.cuts)?;
        account(&came?, &other.stats(), &one.stats(), fault.cuts)?;
        fault.check(&chaos)
    })
}

/// FT-20: answers come in the order of what was asked.
#[test]
fn what_a_router_answers_stays_in_order() -> Result {
    through_each_fault(async |fault, seed| {
        let (dealer, router) = (Dealer::with_options(options())?, Router::new());
        let chaos = apart!(router, dealer, seed);
        let _nemesis = fault.begin(&chaos);
        let sending = async {
            // Slow enough for answers to come between two cuts.
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            for number in 0..MESSAGES {
                tick.tick().await;
                dealer.send(numbered(number)).await?;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let echoing = async {
            while let Ok(message) = timeout(SILENCE, router.recv()).await {
                router.send(message?).await?;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let coming = take_all(async || dealer.recv().await);
        let (sent, echoed, came) = tokio::join!(sending, echoing, coming);
        sent.and(echoed)?;
        let came = came?.count();
        assert!(came == MESSAGES || fault.cuts && came > 0, "{came} answers");
        fault.check(&chaos)
    })
}

/// FT-20: who subscribed sees gaps where a connection was cut, and nowhere else.
#[test]
fn what_is_published_stays_in_order() -> Result {
    through_each_fault(async |fault, seed| {
        let (publisher, subscriber) = (Pub::new(), Sub::with_options(options())?);
        subscriber.subscribe("");
        let chaos = apart!(publisher, subscriber, seed);
        let _nemesis = fault.begin(&chaos);
        let publishing = async {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            for number in 0..MESSAGES {
                tick.tick().await;
                publisher.send(numbered(number)).await?;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let coming = take_all(async || subscriber.recv().await);
        let (published, came) = tokio::join!(publishing, coming);
        published?;
        let came = came?;
        assert!(came.count() > MESSAGES / 2, "{} came", came.count());
        assert!(fault.cuts || !came.has_gaps(), "a gap without a cut");
        fault.check(&chaos)
    })
}

/// FT-20: a reply is that of its request, and no request is handled twice.
#[test]
fn each_request_has_its_own_reply() -> Result {
    through_each_fault(async |fault, seed| {
        let (req, rep) = (Req::with_options(options())?, Rep::new());
        let chaos = apart!(rep, req, seed);
        let _nemesis = fault.begin(&chaos);
        let asking = async {
            let mut answered = 0;
            for asked in 0..MESSAGES {
                let asking = req.request(numbered(asked));
                // A request that was lost has no end but this.
                if let Ok(Ok(reply)) = timeout(Duration::from_secs(5), asking).await {
                    assert_eq!(number(&reply)?, asked);
                    answered += 1;
                }
            }
            Ok::<_, Box<dyn std::error::Error>>(answered)
        };
        let answering = async {
            let mut handled = Came::default();
            while let Ok(request) = timeout(SILENCE, rep.recv()).await {
                let (request, responder) = request?;
                handled.take(&request)?;
                // Whoever asked may be gone.
                let _ = responder.send(request);
            }
            Ok::<_, Box<dyn std::error::Error>>(handled)
        };
        let (answered, handled) = tokio::join!(asking, answering);
        let (answered, handled) = (answered?, handled?.count());
        assert!(answered <= handled, "{answered} answered of {handled}");
        assert!(
            answered == MESSAGES || fault.cuts && answered > MESSAGES / 2,
            "{answered}"
        );
        fault.check(&chaos)
    })
}

/// After bits were turned, and the connections with them were cut, a message gets through again.
async fn recovers(
    chaos: &Chaos,
    send: impl AsyncFn(Message) -> Result,
    receive: impl AsyncFn() -> std::result::Result<Message, RecvError>,
) -> Result {
    assert!(chaos.flips() > 10, "{} bits", chaos.flips());
    chaos.set_both(&Faults::default());
    chaos.strike(Way::Forth, Strike::Reset);
    for _ in 0..100 {
        send("sound".into()).await?;
        while let Ok(message) = timeout(Duration::from_secs(1), receive()).await {
            if message?.first() == "sound" {
                return Ok(());
            }
        }
    }
    Err("nothing gets through".into())
}

/// One bit of about so many is turned, both ways, while a socket sends and another receives.
async fn flip(
    chaos: &Chaos,
    send: impl AsyncFn(Message) -> Result,
    receive: impl AsyncFn() -> std::result::Result<Message, RecvError>,
) -> Result {
    chaos.set_both(&Faults {
        flip_every: Some(2_000),
        ..Faults::default()
    });
    // Also the connections that are made from here on.
    chaos.strike(Way::Forth, Strike::Reset);
    let sending = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        for number in 0..MESSAGES {
            tick.tick().await;
            // A send may wait for a connection that has not come back.
            if let Ok(sent) = timeout(Duration::from_secs(1), send(numbered(number))).await {
                sent?;
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let receiving = async {
        while let Ok(message) = timeout(SILENCE, receive()).await {
            // Turned or whole, it is a message.
            message?;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (sent, received) = tokio::join!(sending, receiving);
    sent.and(received)?;
    recovers(chaos, send, receive).await
}

/// FT-20: a turned bit ends a connection or alters a message, and the sockets go on.
#[test]
fn turned_bits_end_no_socket() -> Result {
    macro_rules! flip_between {
        ($($sender:expr => $receiver:expr;)*) => {
            $(for seed in 1..=10 {
                in_virtual_time(async {
                    let (sender, receiver) = ($sender, $receiver);
                    let chaos = apart!(receiver, sender, seed);
                    let send = async |message| Ok(sender.send(message).await?);
                    flip(&chaos, send, async || receiver.recv().await).await
                })?;
            })*
        };
    }
    flip_between! {
        Push::with_options(options())? => Pull::new();
        Pair::with_options(options())? => Pair::new();
        Pub::with_options(options())? => subscriber();
        Dealer::with_options(options())? => Dealer::new();
    }
    Ok(())
}

fn subscriber() -> Sub {
    let subscriber = Sub::new();
    subscriber.subscribe("");
    subscriber
}

/// FT-20: the same where each message is answered.
#[test]
fn turned_bits_end_no_request_of_another() -> Result {
    for seed in 1..=10 {
        in_virtual_time(async {
            let (req, rep) = (Req::with_options(options())?, Rep::new());
            let chaos = apart!(rep, req, seed);
            let answering = async {
                while let Ok((request, responder)) = rep.recv().await {
                    // Whoever asked may be gone.
                    let _ = responder.send(request);
                }
            };
            let ask = async |limit, message| timeout(limit, req.request(message)).await;
            let asking = async {
                chaos.set_both(&Faults {
                    flip_every: Some(2_000),
                    ..Faults::default()
                });
                chaos.strike(Way::Forth, Strike::Reset);
                for number in 0..MESSAGES {
                    // A reply may be altered, or never come.
                    let _ = ask(Duration::from_secs(1), numbered(number)).await;
                }
                assert!(chaos.flips() > 10, "{} bits", chaos.flips());
                chaos.set_both(&Faults::default());
                chaos.strike(Way::Forth, Strike::Reset);
                for _ in 0..10 {
                    let reply = ask(SILENCE, "sound".into()).await;
                    if let Ok(Ok(reply)) = reply {
                        assert_eq!(reply.first(), "sound");
                        return Ok(());
                    }
                }
                Err("no request gets through")
            };
            tokio::select! {
                asked = asking => Ok(asked?),
                () = answering => Err("the REP has ended".into()),
            }
        })?;
    }
    Ok(())
}

/// FT-20: with heartbeats at five round trips, an hour of delays ends no connection, be it busy or idle.
#[test]
fn no_peer_is_taken_for_dead_for_being_far_away() -> Result {
    const ROUND_TRIP: Duration = Duration::from_millis(600);
    let hour = Duration::from_secs(3_600);
    in_virtual_time_for(hour * 2, async {
        let options = || options().heartbeat_interval(Some(ROUND_TRIP * 5));
        let dealer = Dealer::with_options(options())?;
        let router = Router::with_options(options())?;
        let chaos = apart!(router, dealer, 1);
        chaos.set_both(&Faults {
            latency: ROUND_TRIP / 6,
            jitter: ROUND_TRIP / 3,
            ..Faults::default()
        });
        let echoing = async {
            while let Ok(message) = router.recv().await {
                router.send(message).await?;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let asking = async {
            let mut trips = 0;
            let begun = tokio::time::Instant::now();
            while begun.elapsed() < hour {
                dealer.send(numbered(trips)).await?;
                assert_eq!(number(&dealer.recv().await?)?, trips);
                trips += 1;
                if trips % 10 == 0 {
                    // Idle for many heartbeats.
                    timeout(ROUND_TRIP * 30, dealer.recv())
                        .await
                        .err()
                        .ok_or("a message")?;
                }
            }
            Ok::<_, Box<dyn std::error::Error>>(trips)
        };
        tokio::select! {
            trips = asking => assert!(trips? > 1_000),
            echoed = echoing => echoed?,
        }
        assert_eq!(chaos.connections(), 1);
        Ok(())
    })
}
