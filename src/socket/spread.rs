//! A burst that spreads over many peers, and who writes it.
//!
//! Each of its messages is the first to its peer since the last was written. Written at once, by its sender,
//! each would cost a write, which is dearer than all else that is done for it: so the pipe is listed instead.
//! A task, the leader, writes those that are listed, some in each of its turns, behind or beside whoever sends:
//! what goes to a listed pipe meanwhile leaves with the same write. It ends when none is listed.
//!
//! It is of the runtime of who sends, and so are the drivers of those that are listed: another runtime may stand
//! still.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::unconstrained;

use super::core::Core;
use super::departure::{BURST, Leaves};
use super::offer::Flush;
use super::receipt::now;
use super::state::State;
use crate::session::{Link, PipeId, Writer};
use crate::turns::{Home, are_on_several_threads, wake_to_go_on};

/// Pipes among which a burst may spread: where there are fewer, each has a burst of its own in one turn
/// of who sends.
const MANY: usize = 128;

/// Octets from which on what waits is worth a write of its own.
const LARGE: usize = 2 << 10;

/// In this time come as many first messages as make a burst, each with the write that it costs.
const QUICK: Duration = Duration::from_micros(200);

/// Pipes that a leader writes in a turn, or more as long as it takes less than a quarter of the time that
/// others had since its last. As who sends without a pause sends 1,024 messages in a turn of its own, a
/// write takes as many with it as go into that.
const WRITES_A_TURN: usize = 16;

/// So often a leader on one of several threads lets others go first, if nobody has sent beside it, for so long:
/// those that have yielded to it have their turns once in 61 of that thread.
const WAITS: u8 = 64;
const WAITS_FOR: Duration = Duration::from_micros(200);

/// How long a leader may go on, whatever others had.
const LONGEST: Duration = Duration::from_millis(5);

/// The pipes that are listed, and where they are written.
#[derive(Default)]
pub(super) struct Spread {
    /// Those whose bursts began first come first.
    listed: VecDeque<Listed>,
    /// Where the leader has its turns, as long as there is one.
    home: Option<Home>,
    /// As many as a leader writes in a turn, so often.
    turns: u64,
    /// When the last turn ended, or a leader was wanted if that was later.
    ended: Option<Instant>,
    /// Pipes that were ever listed.
    count: u64,
    /// First messages that were left to their senders, since none was listed.
    alone: u64,
    /// When the first of them was sent.
    since: Option<Instant>,
}

/// A pipe that waits for the leader.
struct Listed {
    id: PipeId,
    /// [`Spread::turns`] before.
    turns: u64,
}

impl Spread {
    /// A message is the first to its peer, whose driver has its turns there. Returns whether it is taken for
    /// one of a burst.
    fn takes_first(&mut self, home: Home, now: impl Fn() -> Instant) -> bool {
        if let Some(leads) = self.home {
            return leads == home;
        }
        let now = now();
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= QUICK {
            (self.alone, self.since) = (0, Some(now));
        }
        self.alone += 1;
        self.alone >= BURST
    }

    /// How long a turn of the leader may take that begins now.
    fn share(&self, now: Instant) -> Duration {
        let ended = self.ended.unwrap_or(now);
        let others = now.saturating_duration_since(ended);
        LONGEST.min(others / 4)
    }

    /// The turn of a leader is over. Returns whether it has another.
    fn ends_turn(&mut self, now: Instant) -> bool {
        self.ended = Some(now);
        if self.listed.is_empty() {
            self.home = None;
        }
        self.home.is_some()
    }
}

impl State {
    /// A message was accepted: lists the pipes that a leader is to write, and leaves the others to who sent
    /// it.
    #[inline]
    pub(super) fn spread_out(&mut self, flush: &mut Flush) {
        if !flush.is_empty() && self.pipes.len() >= MANY && flush.leaves == Leaves::AtOnce {
            self.list_small(flush);
        }
    }

    fn list_small(&mut self, flush: &mut Flush) {
        let here = Home::here();
        for link in flush.take_links() {
            let id = link.pipe();
            let Self { pipes, spread, .. } = self;
            let pipe = &mut pipes[id.index];
            let may_wait = pipe.begins() && pipe.growing().is_some_and(|octets| octets < LARGE);
            let home = here.filter(|here| may_wait && link.home() == Some(*here));
            let Some(home) = home.filter(|home| spread.takes_first(*home, now)) else {
                flush.add(Some(link));
                continue;
            };
            if pipe.is_led() {
                let turns = spread.turns;
                spread.listed.push_back(Listed { id, turns });
                spread.count += 1;
            }
            if spread.home.is_none() {
                (spread.home, spread.ended) = (Some(home), Some(now()));
                flush.wants_leader = true;
            }
        }
    }

    /// The links that a leader writes next.
    fn next_led(&mut self) -> Vec<Link> {
        self.spread.turns += 1;
        let mut links = Vec::with_capacity(WRITES_A_TURN);
        while links.len() < WRITES_A_TURN
            && let Some(Listed { id, turns }) = self.spread.listed.pop_front()
        {
            let turns = self.spread.turns - turns;
            let Some(pipe) = self.pipe(id) else { continue };
            let accepted = pipe.sent.accepted;
            pipe.departure.is_led_no_more(turns, accepted);
            links.extend(pipe.link.clone());
        }
        links
    }
}

/// The task that leads.
struct Leader {
    core: Arc<Core>,
    /// On one of several threads.
    beside: bool,
    /// It has another turn.
    leads: bool,
    /// So often it lets others go first, from then on.
    waits: u8,
    since: Instant,
}

impl Core {
    /// Has a task write what is listed, where there is none yet.
    #[cold]
    pub(super) fn lead(&self) {
        let Some(core) = self.me.upgrade() else {
            return;
        };
        let beside = are_on_several_threads();
        let leads = true;
        tokio::spawn(unconstrained(Leader {
            core,
            beside,
            leads,
            waits: 0,
            since: now(),
        }));
        if beside {
            // A thread keeps to itself what it was given last, whatever it goes on to do. That is not the leader.
            tokio::spawn(async {});
        }
    }

    /// A turn of a leader. If it has another, returns whether pipes were listed meanwhile.
    fn write_listed(&self) -> Option<bool> {
        let begun = now();
        let state = self.state.lock();
        let (share, count) = (state.spread.share(begun), state.spread.count);
        drop(state);
        loop {
            let links = self.state.lock().next_led();
            links.iter().for_each(|link| link.flush_now(Writer::Leader));
            let now = now();
            let spread = &mut self.state.lock().spread;
            if spread.listed.is_empty() || now.saturating_duration_since(begun) >= share {
                return spread.ends_turn(now).then_some(spread.count > count);
            }
        }
    }
}

impl Future for Leader {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.waits > 0 && now().saturating_duration_since(self.since) < WAITS_FOR {
            self.waits -= 1;
        } else {
            let Some(are_more) = self.core.write_listed() else {
                self.leads = false;
                return Poll::Ready(());
            };
            self.waits = if self.beside && !are_more { WAITS } else { 0 };
            self.since = now();
        }
        wake_to_go_on(context, self.beside);
        Poll::Pending
    }
}

impl Drop for Leader {
    /// Also where its runtime ends before there is nothing to write.
    fn drop(&mut self) {
        if self.leads {
            self.core.state.lock().spread.home = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many first messages are left to their senders, where one comes every so often behind
    /// a pause.
    fn left_to_senders(count: u32, pace: Duration) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let _entered = runtime.enter();
        let home = Home::here().expect("that runtime");
        let (mut spread, begun) = (Spread::default(), Instant::now());
        assert!(!spread.takes_first(home, || begun));
        let begun = begun + Duration::from_secs(1);
        let left = |number: &u32| !spread.takes_first(home, || begun + pace * *number);
        (0..count).filter(left).count()
    }

    #[test]
    fn quick_ones_are_a_burst_from_the_eighth_on() {
        assert_eq!(left_to_senders(8, Duration::from_micros(25)), 7);
    }

    #[test]
    fn slow_ones_are_none() {
        assert_eq!(left_to_senders(100, Duration::from_micros(30)), 100);
    }

    #[test]
    fn a_leader_has_a_quarter_of_the_time_of_others_and_no_more_than_five_milliseconds() {
        let begun = Instant::now();
        let spread = Spread {
            ended: Some(begun),
            ..Spread::default()
        };
        let share = |micros| spread.share(begun + Duration::from_micros(micros));
        assert_eq!(share(100), Duration::from_micros(25));
        assert_eq!(share(1_000_000), LONGEST);
    }
}
