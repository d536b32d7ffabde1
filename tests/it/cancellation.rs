//! Futures that are dropped after any of their polls: nothing is lost, nothing comes twice, and the
//! socket goes on. `covered.rs` holds that no public method is missing here.

mod covered;
mod devices;
mod exchange;
mod lanes;
mod life;
mod receiving;

mod sending;
mod services;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

/// Polls after which a future is dropped at the latest.
const POLLS: u32 = 6;

/// Turns that others have, at most, between one poll and the next or the drop.
const TURNS: u32 = 4;

/// Methods that hardly ever wait for as many polls as a future is given here: how many of them are
/// certain to be left after, and why not after more.
const SOON: &[(&[&str], usize, &str)] = &[
    (
        &["bind", "Broker::wait_for_workers beside a change"],
        1,
        "what is waited for comes when the system or a task of its own wants it to",
    ),
    (
        &["Broker::close", "Client::close", "Server::close"],
        2,
        "nothing is under way, and the tasks end in their next turn",
    ),
    (
        &["ProxyHandle::finish", "ProxyHandle::terminate"],
        2,
        "nothing is under way, and the proxy ends in its next turn",
    ),
    (&["RequestBuilder::push"], 1, "there is room after a turn"),
    (
        &["Client::push", "request"],
        2,
        "peers answer in a few turns",
    ),
    (
        &[
            "Client::call",
            "RequestBuilder::call",
            "Responses::next",
            "request with ids",
        ],
        3,
        "peers answer in a few turns",
    ),
    (
        &["Rep as Stream", "Rep::recv", "Rep::recv_from"],
        4,
        "whoever asks does so again in a few turns",
    ),
    (
        &["Device::close", "Device::terminate"],
        3,
        "the device ends in a few turns",
    ),
    (
        &["Listener::connect", "Listener::next"],
        3,
        "the other end is there in a few turns",
    ),
];

/// The runs of one method, and what came of them; printed at their end.
struct Runs {
    method: &'static str,
    random: fastrand::Rng,
    runs: u32,
    /// By the number of the last poll.
    dropped: [u32; POLLS as usize],
}

impl Runs {
    fn of(method: &'static str) -> Self {
        Self {
            method,
            random: fastrand::Rng::with_seed(8),
            runs: 0,
            dropped: [0; POLLS as usize],
        }
    }

    /// Polls a future one to six times, the next run once more than this one, and drops it.
    /// Others have their turns after each poll, the last one too: what was woken and never
    /// looks is the case that matters most. Nobody is woken by the wake-ups of the future.
    async fn run<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let polls = 1 + self.runs % POLLS;
        self.runs += 1;
        if self.random.u8(..8) == 0 {
            exhaust();
        }
        let mut future = pin!(future);
        for _ in 0..polls {
            if let Some(output) = poll_once(future.as_mut()) {
                return Some(output);
            }
            let turns = self.random.u32(..TURNS);
            turns_of_others(turns).await;
        }
        self.dropped[polls as usize - 1] += 1;
        None
    }

    /// That many were run, and some were dropped after each number of polls, but for those in `SOON`.
    fn end(self, least: u32) {
        let (method, dropped) = (self.method, self.dropped);
        self.end_at_once(least);
        let soon = SOON.iter().find(|(methods, ..)| methods.contains(&method));
        let polls = soon.map_or(POLLS as usize, |(_, polls, _)| *polls);
        let waited = dropped[..polls].iter().all(|dropped| *dropped > 0);
        assert!(
            waited,
            "{method}: none was dropped after some of {polls} polls: {dropped:?}"
        );
    }

    /// That many were run, of a method that has no reason to wait.
    fn end_at_once(self, least: u32) {
        println!(
            "A8 {}: {} runs, dropped after 1 to {POLLS} polls {:?}",
            self.method, self.runs, self.dropped
        );
        assert!(self.runs >= least, "{}: {} runs", self.method, self.runs);
    }
}

/// One poll, with a waker that wakes nobody.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Takes what this task has left of its cooperative budget: until it yields, whatever asks has to wait.
fn exhaust() {
    while poll_once(pin!(consume_budget())).is_some() {}
}

async fn turns_of_others(turns: u32) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Resolves when the condition holds, and lets others go on meanwhile.
async fn until(mut wanted: impl FnMut() -> bool) {
    while !wanted() {
        yield_now().await;
    }
}
