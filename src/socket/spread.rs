//! A burst that spreads over many peers, and who writes it.
//!
//! Each of its messages is the first to its peer since the last was written. Written at once, by its sender,
//! each would cost a write, which is dearer than all else that is done for it: so the pipe is listed instead.
//! The driver of one of them, the leader, writes those that are listed, some in each of its turns, and
//! defers itself behind whoever sends: what goes to a listed pipe meanwhile leaves with the same write.
//!
//! The leader is the driver that has a turn first. Several are woken, as some may be on a runtime that is
//! kept from running, and one takes over from a leader that has had no turn for long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::departure::{BURST, Leaves};
use super::offer::Flush;
use super::place::Pipe;
use super::receipt::now;
use super::state::State;
use crate::session::{Link, PipeId};

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

/// How many pipes are listed from one driver that is woken to the next, while no leader has a turn.
const UNLED: usize = 64;

/// How long a leader may have no turn before another takes over.
const STALE: Duration = Duration::from_millis(5);

/// The pipes that are listed, and who leads.
#[derive(Default)]
pub(super) struct Spread {
    /// Those whose bursts began first come first.
    listed: VecDeque<Listed>,
    /// Whose driver writes them, if one has had a turn since there are any.
    leader: Option<PipeId>,
    /// As many as a leader writes in a turn, so often.
    turns: u64,
    /// When the last turn of a leader ended, or the first pipe was listed if that was later.
    ended: Option<Instant>,
    /// Pipes that were listed since then.
    unled: usize,
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
    /// A message is the first to its peer. Returns whether it is taken for one of a burst.
    fn takes_first(&mut self, now: impl Fn() -> Instant) -> bool {
        if !self.listed.is_empty() {
            return true;
        }
        let now = now();
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= QUICK {
            (self.alone, self.since) = (0, Some(now));
        }
        self.alone += 1;
        self.alone >= BURST
    }

    /// Lists a pipe of which what waits is to be written. Returns whether its driver is to be woken, to lead if
    /// nobody else does.
    fn list(&mut self, id: PipeId, pipe: &mut Pipe, now: impl Fn() -> Instant) -> bool {
        if !pipe.departure.is_led(pipe.sent.accepted) {
            return false;
        }
        if self.listed.is_empty() {
            (self.ended, self.unled) = (Some(now()), 0);
        }
        let turns = self.turns;
        self.listed.push_back(Listed { id, turns });
        self.unled += 1;
        // Of one task that a worker wakes, and does not get to, no other knows before it wakes a second.
        let first = self.leader.is_none() && self.unled <= 2;
        first || self.unled.is_multiple_of(UNLED)
    }

    /// The driver of this pipe has a turn. Returns whether it leads.
    pub(super) fn is_led_by(&mut self, id: PipeId, now: impl Fn() -> Instant) -> bool {
        if self.listed.is_empty() || self.leader == Some(id) {
            return !self.listed.is_empty();
        }
        let leads = self.leader.is_none() || self.waited(now()) > STALE;
        if leads {
            self.leader = Some(id);
        }
        leads
    }

    /// How long no leader has had a turn.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        let since = self.ended.unwrap_or(now);
        now.saturating_duration_since(since)
    }

    /// Whether nothing is listed.
    pub(super) fn is_over(&self) -> bool {
        self.listed.is_empty()
    }

    /// The turn of a leader is over. Returns whether it has another.
    pub(super) fn ends_turn(&mut self, id: PipeId, now: Instant) -> bool {
        (self.ended, self.unled) = (Some(now), 0);
        if self.listed.is_empty() {
            self.leader = None;
        }
        self.leader == Some(id)
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
            let may_wait = pipe.begins() && pipe.may_grow(LARGE) && link.is_wired();
            if !may_wait || !spread.takes_first(now) {
                flush.add(Some(link));
            } else if spread.list(id, pipe, now) {
                flush.wake(link);
            }
        }
    }

    /// A sink is flushed: lists the pipes that a leader is to write, where it has fed as many as one writes in
    /// a turn, or others are listed. Returns the links to wake.
    pub(super) fn spread_fed(&mut self) -> Vec<Link> {
        let mut woken = Vec::new();
        if self.fed.len() < WRITES_A_TURN && self.spread.is_over() {
            return woken;
        }
        let Self {
            pipes, spread, fed, ..
        } = self;
        fed.retain(|id| {
            let pipe = pipes
                .get_mut(id.index)
                .filter(|pipe| pipe.serial == id.serial);
            let Some(pipe) = pipe.filter(|pipe| pipe.may_grow(LARGE)) else {
                return true;
            };
            let Some(link) = pipe.link.clone().filter(Link::is_wired) else {
                return true;
            };
            pipe.departure.is_fed_no_more();
            if spread.list(*id, pipe, now) {
                woken.push(link);
            }
            false
        });
        woken
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

    /// A connection has ended. Returns whom to wake to lead, if its driver did or was to.
    pub(super) fn lead_on(&mut self, id: PipeId) -> Option<Link> {
        let leader = &mut self.spread.leader;
        if leader.take_if(|leader| *leader == id).is_none() && leader.is_some() {
            return None;
        }
        let mut listed = self.spread.listed.iter();
        listed.find_map(|next| {
            let link = self.pipes.get(next.id.index)?.link.clone()?;
            (link.pipe() == next.id).then_some(link)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::options::Options;

    /// How many of so many first messages are left to their senders, where one comes every so often behind
    /// a pause.
    fn left_to_senders(count: u32, pace: Duration) -> usize {
        let (mut spread, begun) = (Spread::default(), Instant::now());
        assert!(!spread.takes_first(|| begun));
        let begun = begun + Duration::from_secs(1);
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

    fn id(index: usize) -> PipeId {
        PipeId { index, serial: 0 }
    }

    /// Lists so many pipes. Returns those that are woken.
    fn list(spread: &mut Spread, count: usize, now: Instant) -> Vec<usize> {
        let endpoint: Endpoint = "tcp://127.0.0.1:1".parse().expect("an endpoint");
        let endpoint = Arc::new(endpoint);
        let pipe = || Pipe::new(0, endpoint.clone(), true, &Options::default());
        let woken = |index: &usize| spread.list(id(*index), &mut pipe(), || now);
        (0..count).filter(woken).collect()
    }

    /// One that is woken by a task of a worker waits for that task, until a second is woken.
    #[test]
    fn two_drivers_are_woken_and_others_where_none_leads() {
        let (mut spread, now) = (Spread::default(), Instant::now());
        assert_eq!(list(&mut spread, 130, now), [0, 1, 63, 127]);
        assert!(spread.is_led_by(id(1), || now));
        assert!(spread.ends_turn(id(1), now));
        assert_eq!(list(&mut spread, 70, now), [63]);
    }

    #[test]
    fn the_first_driver_that_has_a_turn_leads_until_it_has_none_for_long() {
        let (mut spread, begun) = (Spread::default(), Instant::now());
        assert!(!spread.is_led_by(id(1), || begun), "nothing is listed");
        list(&mut spread, 20, begun);
        let soon = begun + STALE;
        assert!(spread.is_led_by(id(1), || begun));
        assert!(!spread.is_led_by(id(0), || soon));
        assert!(spread.ends_turn(id(1), soon));
        assert!(!spread.is_led_by(id(0), || soon + STALE));
        assert!(spread.is_led_by(id(0), || soon + 2 * STALE));
        assert!(!spread.ends_turn(id(1), soon), "another leads");
    }
}
