//! Requests that are dropped at any poll: every reply is that of its request, and the next is made.

use pushsub::{Rep, Req};

use super::lanes::narrow;
use super::{Runs, turns_of_others};
use crate::support::{Result, assert_accounted, on_every_transport};

on_every_transport! {
    a_request_that_is_dropped_leaves_a_sound_socket;
    a_request_that_is_dropped_lets_the_next_task_have_its_turn;
}

/// A8: with and without ids, which tell late replies apart where no link is cut.
async fn a_request_that_is_dropped_leaves_a_sound_socket(endpoint: String) -> Result {
    for (correlate, requests) in [(true, 1_500), (false, 1_000)] {
        let req = Req::with_options(narrow().correlate(correlate))?;
        let rep = Rep::with_options(narrow())?;
        let endpoint = rep
            .bind(&format!("{endpoint}{}", suffix(&endpoint, correlate)))
            .await?;
        req.connect(&endpoint)?;
        let answering = tokio::spawn(async move {
            while let Ok((request, responder)) = rep.recv().await {
                if responder.send(request).is_err() {
                    break;
                }
            }
        });
        let mut runs = Runs::of(if correlate {
            "request with ids"
        } else {
            "request"
        });
        let mut answered = 0;
        for number in 0..requests {
            let text = u32::to_string(&number);
            match runs.run(req.request(text.clone())).await {
                Some(reply) => {
                    assert_eq!(reply?.first(), text.as_bytes());
                    answered += 1;
                }
                None => turns_of_others(1).await,
            }
        }
        runs.end(requests);
        assert!(answered > requests / 10, "{answered} of {requests}");
        assert_eq!(req.request("last").await?.first(), "last");
        assert_accounted(&req.stats());
        answering.abort();
    }
    Ok(())
}

fn suffix(endpoint: &str, correlate: bool) -> &'static str {
    match correlate && !endpoint.starts_with("tcp://") {
        true => "-ids",
        false => "",
    }
}

/// A8: three tasks ask on one socket, two of which give up at any poll.
async fn a_request_that_is_dropped_lets_the_next_task_have_its_turn(endpoint: String) -> Result {
    let rep = Rep::with_options(narrow())?;
    let endpoint = rep.bind(&endpoint).await?;
    let req = Req::with_options(narrow().correlate(true))?;
    req.connect(&endpoint)?;
    let answering = tokio::spawn(async move {
        while let Ok((request, responder)) = rep.recv().await {
            if responder.send(request).is_err() {
                break;
            }
        }
    });
    let given_up = (0..2).map(|_| {
        let req = req.clone();
        tokio::spawn(async move {
            let mut runs = Runs::of("request beside others");
            for _ in 0..500 {
                runs.run(req.request("given up")).await;
                turns_of_others(1).await;
            }
            runs.end(500);
        })
    });
    let given_up: Vec<_> = given_up.collect();
    for number in 0..500_u32 {
        let text = number.to_string();
        assert_eq!(req.request(text.clone()).await?.first(), text.as_bytes());
    }
    for task in given_up {
        task.await?;
    }
    assert_accounted(&req.stats());
    answering.abort();
    Ok(())
}
