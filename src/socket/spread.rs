//! A burst that spreads over many peers, and who writes it.
//!
//! Each of its messages is the first to its peer since the last was written. Written at once, by its sender,
//! each would cost a write, which is dearer than all else that is done for it: so the pipe is listed instead.
//! The driver of the first, the leader, writes those that are listed, some in each of its turns, behind or
//! beside whoever sends: what goes to a listed pipe meanwhile leaves with the same write.
//!
//! All of them and who sends are of one runtime: another may stand still.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::departure::{BURST, Leaves};
use super::offer::Flush;
use super::receipt::now;
use super::state::State;
use crate::session::{Link, PipeId};
use crate::turns::{Home, are_on_several_threads};

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

/// How long a leader may go on, whatever others had.
const LONGEST: Duration = Duration::from_millis(5);

/// The pipes that are listed, and who leads.
#[derive(Default)]
pub(super) struct Spread {
    /// Those whose bursts began first come first.
    listed: VecDeque<Listed>,
    /// Whose driver writes them, as long as there are any.
    leader: Option<PipeId>,
    /// Where that, and all drivers of those that are listed, have their turns, and who lists them.
    home: Option<Home>,
    /// As many as a leader writes in a turn, so often.
    turns: u64,
    /// When the last turn of a leader ended, or the first pipe was listed if that was later.
    ended: Option<Instant>,
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
        if self.leader.is_some() {
            return self.home == Some(home);
        }
        let now = now();
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= QUICK {
            (self.alone, self.since) = (0, Some(now));
        }
        self.alone += 1;
        self.alone >= BURST
    }

    /// Whether the driver of this pipe leads.
    pub(super) fn is_led_by(&self, id: PipeId) -> bool {
        self.leader == Some(id)
    }

    /// How much time others had until now since the last turn of the leader.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        let ended = self.ended.unwrap_or(now);
        now.saturating_duration_since(ended)
    }

    /// Whether the pipe that was listed last is the second, and the first waits for the leader.
    fn holds_two(&self) -> bool {
        let turns = self.listed.front().map(|first| first.turns);
        self.listed.len() == 2 && turns == Some(self.turns)
    }

    /// Whether nothing is listed.
    pub(super) fn is_over(&self) -> bool {
        self.listed.is_empty()
    }

    /// The turn of a leader is over. Returns whether it has another.
    pub(super) fn ends_turn(&mut self, id: PipeId, now: Instant) -> bool {
        self.ended = Some(now);
        if self.listed.is_empty() && self.is_led_by(id) {
            self.leader = None;
        }
        self.is_led_by(id)
    }
}

/// How long a turn of the leader may take, before which others had so much time.
pub(super) fn share(others: Duration) -> Duration {
    LONGEST.min(others / 4)
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
            let may_wait = pipe.begins() && pipe.may_grow(LARGE);
            let home = here.filter(|here| may_wait && link.home() == Some(*here));
            let Some(home) = home.filter(|home| spread.takes_first(*home, now)) else {
                flush.add(Some(link));
                continue;
            };
            if pipe.is_led() {
                let turns = spread.turns;
                spread.listed.push_back(Listed { id, turns });
            }
            if spread.leader.is_none() {
                (spread.leader, spread.home) = (Some(id), Some(home));
                spread.ended = Some(now());
                flush.wake(link);
            } else if spread.holds_two() && are_on_several_threads() {
                // What is woken last waits for the thread of who wakes it, whatever that goes on to do. So that
                // is not the leader.
                flush.wake(link);
            }
        }
    }

    /// The links that a leader writes next.
    pub(super) fn next_led(&mut self) -> Vec<Link> {
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

    /// A connection has ended. Returns whom to wake to lead, if its driver did.
    pub(super) fn lead_on(&mut self, id: PipeId) -> Option<Link> {
        self.spread.leader.take_if(|leader| *leader == id)?;
        let mut listed = self.spread.listed.iter();
        let link = listed.find_map(|next| {
            let link = self.pipes.get(next.id.index)?.link.clone()?;
            let is_home = link.home() == self.spread.home;
            (link.pipe() == next.id && is_home).then_some(link)
        });
        self.spread.leader = link.as_ref().map(Link::pipe);
        link
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
        assert_eq!(share(Duration::from_micros(100)), Duration::from_micros(25));
        assert_eq!(share(Duration::from_secs(1)), LONGEST);
    }
}
