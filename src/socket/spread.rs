//! A burst that spreads over many peers, and who writes it.
//!
//! Each of its messages is the first to its peer since the last was written. Written at once, by its sender,
//! each would cost a write, which is dearer than all else that is done for it: so the pipe is listed instead.
//! The driver of one of them, the leader, writes those that are listed, some in each of its turns, and
//! whoever sends has a turn between two of these: what goes to a listed pipe meanwhile leaves with
//! the same write.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::departure::{BURST, Leaves};
use super::offer::Flush;
use super::receipt::now;
use super::state::State;
use crate::session::{Link, PipeId};

/// Peers among which a burst may spread: where there are fewer, each has a burst of its own in one turn
/// of who sends.
const MANY: usize = 128;

/// Octets from which on a message is worth a write of its own.
const LARGE: usize = 2 << 10;

/// In this time come as many first messages as make a burst, each with the write that it costs.
const QUICK: Duration = Duration::from_micros(200);

/// Pipes that a leader writes in a turn. As who sends without a pause sends 1,024 messages in one
/// of its own, a write takes as many with it as go into that.
const WRITES_A_TURN: usize = 16;

/// The pipes that are listed, and who leads.
#[derive(Default)]
pub(super) struct Spread {
    /// Those whose bursts began first come first.
    listed: VecDeque<Listed>,
    /// Whose driver writes them, as long as there are any.
    leader: Option<PipeId>,
    /// Turns of leaders so far.
    turns: u64,
    /// First messages that were left to their senders, since none was listed.
    alone: u64,
    /// When the first of them was sent.
    since: Option<Instant>,
}

/// A pipe that waits for the leader.
struct Listed {
    id: PipeId,
    /// Turns of leaders before.
    turns: u64,
}

impl Spread {
    /// A message is the first to its peer. Returns whether it is taken for one of a burst.
    fn takes_first(&mut self, now: impl Fn() -> Instant) -> bool {
        if self.leader.is_some() {
            return true;
        }
        self.alone += 1;
        let since = *self.since.get_or_insert_with(&now);
        if self.alone < BURST {
            return false;
        }
        (self.alone, self.since) = (0, None);
        now().saturating_duration_since(since) < QUICK
    }

    /// Whether the driver of this pipe leads.
    pub(super) fn is_led_by(&self, id: PipeId) -> bool {
        self.leader == Some(id)
    }

    /// The leader has written what it was given. Returns whether it has another turn.
    pub(super) fn goes_on_behind(&mut self, id: PipeId) -> bool {
        if self.is_led_by(id) && self.listed.is_empty() {
            self.leader = None;
        }
        self.is_led_by(id)
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
        for link in flush.take_links() {
            let id = link.pipe();
            let Self { pipes, spread, .. } = self;
            let pipe = &mut pipes[id.index];
            if !link.is_wired() || !pipe.begins_small(LARGE) || !spread.takes_first(now) {
                flush.add(Some(link));
                continue;
            }
            if pipe.departure.is_led() {
                let turns = spread.turns;
                spread.listed.push_back(Listed { id, turns });
            }
            if spread.leader.is_none() {
                spread.leader = Some(id);
                flush.wake(link);
            }
        }
    }

    /// The links that the leader writes in this turn.
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

    /// A connection has ended. Returns who leads in its place, to be woken, if its driver did.
    pub(super) fn lead_on(&mut self, id: PipeId) -> Option<Link> {
        if !self.spread.is_led_by(id) {
            return None;
        }
        let listed = self.spread.listed.iter();
        let mut links = listed.filter_map(|next| {
            let pipe = self.pipes.get(next.id.index)?;
            let link = pipe.link.as_ref()?;
            (link.pipe() == next.id).then(|| link.clone())
        });
        let leader = links.next();
        drop(links);
        self.spread.leader = leader.as_ref().map(Link::pipe);
        leader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many first messages are left to their senders, where one comes every so often.
    fn left_to_senders(count: u32, pace: Duration) -> usize {
        let (mut spread, begun) = (Spread::default(), Instant::now());
        let left = |number: &u32| !spread.takes_first(|| begun + pace * *number);
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
}
