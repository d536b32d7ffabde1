//! When what is queued for one peer leaves, and who writes it.
//!
//! ```text
//!  a message, no writer on its way ─▶ its sender, at once
//!  those behind it ─────────────────▶ the driver, once the burst has stopped growing
//!  the first one behind a burst ────▶ the driver too: another burst is expected
//!  answers to what was read at once ▶ who makes the last of them, or a quarter,
//!                                    or one behind which the next would come late
//!  what a sink is fed ──────────────▶ who flushes it, or fills the queue
//!  one of many first ones, to many ─▶ the leader of a burst that spreads
//!  a whole write of it ─────────────▶ whoever made it one
//! ```
//!
//! Pure: the pipe says what it holds, and this says whose turn it is. Whatever is left to the
//! driver is written in its next turns, so nothing waits for a sender to come back.

use std::time::{Duration, Instant};

use crate::session::{Taken, Writer};

/// Octets that wait behind a write of the same burst before the sender writes
/// them itself instead of leaving them to the driver.
pub(super) const FLUSH_AT: usize = 256 << 10;

/// Octets that wait before the driver lets a burst grow no more.
pub(super) const GROWN_AT: usize = 64 << 10;

/// Turns of the driver for which a burst is let grow, unless it has not grown in
/// two of them. The first ends when all that can run has run, and so does each on the only thread behind
/// which it has grown, is [`LITTLE`] and [`YOUNG`]; each other when those have that were ready with the
/// driver: a lone burst loses next to nothing.
const BURST_TURNS: u8 = 8;

/// Octets that wait, below which a burst that grows waits for its sender again: where many peers share
/// each turn of that, a write costs more than what one of them has of it. To 20 peers 11.2 M messages a
/// second go without, and 16.0 M with this (`benches/compare --rows scatter-20 --rivals pushsub-ct`).
pub(super) const LITTLE: usize = 16 << 10;

/// For how long after its first turn it does.
pub(super) const YOUNG: Duration = Duration::from_micros(200);

/// Messages that make a burst, after which another is expected.
pub(super) const BURST: u64 = 8;

/// Answers to what was read at once that share a write, if they are made as quickly: a write costs
/// as much as some of them. Of many it is a quarter, as the peer works on those that it has while
/// the others are made.
const GATHERED: u32 = 32;

/// How long the first of them may wait for the others, by the pace at which they were made so far:
/// up to [`UNTIMED`] that take longer all at once are not noticed.
const HELD: Duration = Duration::from_micros(200);

/// Answers between two looks at the clock, at most.
const UNTIMED: u32 = 16;

/// Who writes a message that found no writer on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// The task that sent it, at once.
    AtOnce,
    /// Who flushes: a `Sink`, or one that says several things at once.
    WithFlush,
}

/// What is known of what waits, and of what is expected to follow.
#[derive(Default)]
pub(super) struct Departure {
    /// A writer is at work or on its way: what is queued will be written.
    flushing: bool,
    /// One message was read last, alone, and nothing was sent since: what is sent next
    /// is taken for its answer, and not for the first of a burst.
    asked: bool,
    /// Messages that were read several at once, less those sent since: what is sent before
    /// their receiver waits again is taken for their answers.
    owed: u32,
    /// It stands in the list of those that owe.
    owing: bool,
    /// Such answers that wait for the next, as they share a write.
    gathered: u32,
    /// How many of them make a write.
    share: u32,
    /// When what they answer was read, or the last of them written; none where that is unknown. While there
    /// are none, when the driver had the first turn of a burst.
    since: Option<Instant>,
    /// So many will be made, at the pace of the last, before the first has waited too long.
    paced: u32,
    /// Who has just sent leaves what waits to the driver: more is about to follow.
    deferred: bool,
    /// What is being written is all there is to say: an answer, several that were gathered,
    /// what a sink had when it was flushed, or what a leader takes.
    answers: bool,
    /// It stands in the list of those that are written when a sink is flushed.
    fed: bool,
    /// It stands in the list of those that a leader writes.
    listed: bool,
    burst: Burst,
}

/// The burst that waits, and what the driver saw of it in its last turn.
#[derive(Default)]
struct Burst {
    /// Messages accepted when it began.
    began: u64,
    /// The one before was long, and so may this be.
    expected: bool,
    /// Messages accepted by the driver's last turn.
    accepted: u64,
    /// Turns for which the driver has let it grow.
    turns: u8,
    /// In the last of them nothing was added.
    quiet: bool,
}

impl Departure {
    /// A writer is at work or on its way.
    pub(super) fn is_under_way(&self) -> bool {
        self.flushing
    }

    /// How many messages may be queued next that leave with those before them, whatever these
    /// are, unless they fill a write.
    #[inline]
    pub(super) fn followers(&self, leaves: Leaves) -> usize {
        match self.owed {
            _ if !self.flushing && leaves == Leaves::WithFlush && self.fed => usize::MAX,
            _ if !self.flushing || self.listed => 0,
            0 if self.asked || self.answers => 0,
            0 => usize::MAX,
            owed if self.gathered == 0 => owed as usize,
            // Who makes the last of a share writes it.
            owed => {
                let share = self.share.saturating_sub(self.gathered);
                owed.min(share).saturating_sub(1).min(self.paced) as usize
            }
        }
    }

    /// One of them was queued.
    #[inline]
    pub(super) fn followed(&mut self) {
        if self.flushing && self.owed > 0 {
            self.owed -= 1;
            self.gathered += u32::from(self.gathered > 0);
        }
    }

    /// There is something to write besides, and the driver is woken for it.
    pub(super) fn begins(&mut self) {
        self.flushing = true;
    }

    /// There is no connection any more.
    pub(super) fn ends(&mut self) {
        *self = Self {
            owing: self.owing,
            fed: self.fed,
            listed: self.listed,
            burst: std::mem::take(&mut self.burst),
            ..Self::default()
        };
    }

    /// A message was queued, the last of so many ever. Returns whether the link is to be
    /// flushed by who sent it, or listed for who flushes its sink, unless what waits `fills` what may.
    #[inline(always)]
    pub(super) fn queued(
        &mut self,
        leaves: Leaves,
        accepted: u64,
        fills: impl Fn() -> bool,
        now: impl Fn() -> Instant,
    ) -> bool {
        let lone = !self.flushing;
        if leaves == Leaves::WithFlush && lone {
            return fills() || !std::mem::replace(&mut self.fed, true);
        }
        if self.owed > 0 {
            return self.answered(lone, fills(), now);
        }
        let answers = std::mem::take(&mut self.asked);
        self.answers = answers && lone;
        if !lone {
            // An answer waits for no leader.
            return fills() || (self.listed && answers);
        }
        self.flushing = true;
        self.burst.began = accepted;
        self.deferred = self.burst.expected && !self.answers && !fills();
        true
    }

    /// One of several answers was queued. Returns whether this task is to see to them: the
    /// first leaves them to the driver, and who sends the last, or enough, or one when another
    /// would come late, writes them itself.
    fn answered(&mut self, lone: bool, fills: bool, now: impl Fn() -> Instant) -> bool {
        self.owed -= 1;
        if !lone && self.gathered == 0 {
            // The writer that is on its way takes them with it, unless it is a leader and this the last.
            return fills || (self.listed && self.owed == 0);
        }
        self.flushing = true;
        self.gathered += 1;
        let shared = self.owed == 0 || self.gathered >= self.share || fills;
        if shared {
            self.since = None;
        }
        self.answers = shared || self.is_late(now);
        self.deferred = !self.answers;
        if self.answers {
            self.gathered = 0;
        }
        lone || self.answers
    }

    /// Whether the first that was gathered would wait too long for another, at the pace so far.
    fn is_late(&mut self, now: impl Fn() -> Instant) -> bool {
        let now = now();
        let held = now.saturating_duration_since(*self.since.get_or_insert(now));
        let pace = held / self.gathered;
        let left = HELD.saturating_sub(held);
        let more = left.as_nanos().checked_div(pace.as_nanos());
        let more = more.and_then(|more| u32::try_from(more).ok());
        self.paced = UNTIMED.min(more.unwrap_or(UNTIMED));
        let late = self.paced == 0;
        if late {
            self.since = Some(now);
        }
        late
    }

    /// So many messages were read at once. Returns whether it is to be listed as owing answers.
    pub(super) fn asked(&mut self, count: usize, now: impl Fn() -> Instant) -> bool {
        self.asked = count == 1 && self.owed == 0;
        if self.asked {
            return false;
        }
        if self.owed == 0 {
            self.since = Some(now());
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.owed = self.owed.saturating_add(count);
        self.share = GATHERED.max(self.owed / 4);
        !std::mem::replace(&mut self.owing, true)
    }

    /// Who receives waits, and it is off the list: what is sent from now on is no answer.
    pub(super) fn owes_nothing(&mut self) {
        (self.owed, self.owing, self.gathered) = (0, false, 0);
    }

    /// It is off the list of those that are written when a sink is flushed.
    pub(super) fn is_fed_no_more(&mut self) {
        self.fed = false;
    }

    /// Whether the last of so many messages ever begins a burst, and its sender is to write it.
    pub(super) fn begins_with(&self, accepted: u64) -> bool {
        self.flushing && self.burst.began == accepted && !self.answers && !self.deferred
    }

    /// Whether a message is not to fill the queue while it waits for another to write it: a leader, or who
    /// flushes a sink.
    pub(super) fn waits_for_another(&self, leaves: Leaves) -> bool {
        self.listed || leaves == Leaves::WithFlush
    }

    /// A leader is to write what waits. Returns whether it is to be listed for that.
    pub(super) fn is_led(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }

    /// It is off the list of those that a leader writes, in which it stood for so many turns of one. If as many
    /// messages have come as a burst in each of them, the driver writes the next.
    pub(super) fn is_led_no_more(&mut self, turns: u64, accepted: u64) {
        self.listed = false;
        self.burst.expected = accepted - self.burst.began >= BURST.saturating_mul(turns);
    }

    /// Whether what waits is to grow first, and for how long: so many octets, if it may.
    pub(super) fn grows(
        &mut self,
        writer: Writer,
        accepted: u64,
        growing: Option<usize>,
        now: impl Fn() -> Instant,
    ) -> Option<Taken> {
        let deferred = writer == Writer::Sender && std::mem::take(&mut self.deferred);
        if deferred {
            return Some(Taken::Growing);
        }
        let burst = &mut self.burst;
        let grown = burst.accepted != accepted;
        burst.accepted = accepted;
        let was_quiet = std::mem::replace(&mut burst.quiet, !grown);
        // A message that nothing has followed by now is no burst.
        let is_one = burst.began == accepted;
        let may_grow = !is_one && (grown || !was_quiet) && burst.turns < BURST_TURNS;
        let drives = matches!(writer, Writer::Driver | Writer::DriverAgain);
        if drives
            && may_grow
            && let Some(octets @ ..GROWN_AT) = growing
        {
            burst.turns += 1;
            return Some(self.turn(grown, octets, now));
        }
        (burst.turns, burst.quiet) = (0, false);
        None
    }

    /// For which turn of the driver's the burst is let grow that is so many octets now, and may have `grown`.
    fn turn(&mut self, grown: bool, octets: usize, now: impl Fn() -> Instant) -> Taken {
        let first = self.burst.turns == 1;
        if first && self.owed == 0 {
            self.since = Some(now());
        }
        if !grown {
            return Taken::Waiting;
        }
        if first {
            return Taken::Growing;
        }
        let timed = self.since.filter(|_| self.owed == 0 && octets < LITTLE);
        let age = timed.map(|since| now().saturating_duration_since(since));
        match age.is_some_and(|age| age < YOUNG) {
            true => Taken::Little,
            false => Taken::Waiting,
        }
    }

    /// A writer has taken what waited.
    pub(super) fn is_taken(&mut self, writer: Writer) {
        match writer {
            Writer::Flush => self.answers = !std::mem::replace(&mut self.flushing, true),
            Writer::Leader => self.answers = true,
            Writer::Sender | Writer::Driver | Writer::DriverAgain => {}
        }
    }

    /// A writer has found nothing. A driver is not needed any more, unless it has written a
    /// short burst: it looks once more, before the next message is taken for a lone one.
    pub(super) fn is_done(&mut self, writer: Writer, accepted: u64) -> Taken {
        let long = accepted - self.burst.began >= BURST;
        match writer {
            Writer::Sender | Writer::Flush => {}
            Writer::Leader => self.flushing = false,
            Writer::DriverAgain if !long => return Taken::Waiting,
            Writer::Driver | Writer::DriverAgain => {
                self.burst.expected = long;
                self.flushing = false;
            }
        }
        Taken::Nothing
    }

    /// A write is made. Returns whether nobody needs to look for more: it was all there was to
    /// say, and nothing waits.
    pub(super) fn is_written(&mut self, nothing_waits: bool) -> bool {
        let finished = std::mem::take(&mut self.answers) && nothing_waits;
        if finished {
            self.flushing = false;
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Departure, Leaves};
    use crate::session::Writer;

    /// How many answers share each write, where one is made every so often.
    fn shares(count: usize, pace: Duration) -> Vec<usize> {
        let mut departure = Departure::default();
        let mut time = Instant::now();
        departure.asked(count, || time);
        let (mut waiting, mut followers, mut shares) = (0, 0, Vec::new());
        for accepted in 1..=count {
            time += pace;
            waiting += 1;
            if followers > 0 {
                followers -= 1;
                departure.followed();
                continue;
            }
            departure.queued(Leaves::AtOnce, accepted as u64, || false, || time);
            if departure.is_written(true) {
                shares.push(std::mem::take(&mut waiting));
            }
            followers = departure.followers(Leaves::AtOnce);
        }
        assert_eq!(
            waiting, 0,
            "the last answer is written with those before it"
        );
        shares
    }

    #[test]
    fn quick_answers_share_a_write() {
        assert_eq!(shares(72, Duration::from_nanos(100)), [32, 32, 8]);
    }

    #[test]
    fn the_first_answer_waits_for_as_many_as_are_made_soon() {
        assert_eq!(shares(14, Duration::from_micros(40)), [6, 6, 2]);
    }

    #[test]
    fn slow_answers_wait_for_no_other() {
        assert_eq!(shares(3, Duration::from_millis(1)), [1, 1, 1]);
    }

    #[test]
    fn answers_that_become_slow_are_noticed() {
        let mut departure = Departure::default();
        let mut time = Instant::now();
        departure.asked(30, || time);
        departure.queued(Leaves::AtOnce, 1, || false, || time);
        let followers = departure.followers(Leaves::AtOnce);
        for _ in 0..followers {
            departure.followed();
        }
        time += Duration::from_millis(1);
        departure.queued(Leaves::AtOnce, 2 + followers as u64, || false, || time);
        assert!(departure.is_written(true), "after {followers} more");
    }

    /// Whether a leader writes the first message behind so many to the peer in so many of its turns.
    fn is_led_behind(messages: u64, turns: u64) -> bool {
        let mut departure = Departure::default();
        let queued = |departure: &mut Departure, accepted| {
            departure.queued(Leaves::AtOnce, accepted, || false, Instant::now)
        };
        assert!(queued(&mut departure, 1) && departure.begins_with(1));
        assert!(departure.is_led(), "it is listed");
        departure.is_led_no_more(turns, messages);
        departure.is_taken(Writer::Leader);
        assert!(departure.is_written(true), "its driver need not look");
        queued(&mut departure, messages + 1) && departure.begins_with(messages + 1)
    }

    #[test]
    fn who_gets_few_messages_in_a_turn_is_written_by_the_leader() {
        assert!(is_led_behind(1, 1));
        assert!(is_led_behind(8, 1));
        assert!(is_led_behind(30, 10));
    }

    #[test]
    fn who_gets_a_burst_in_each_turn_is_written_by_its_driver() {
        assert!(!is_led_behind(9, 1));
        assert!(!is_led_behind(100, 10));
    }

    #[test]
    fn the_last_of_several_answers_waits_for_no_leader() {
        let mut departure = Departure::default();
        let now = Instant::now();
        let queued = |departure: &mut Departure, accepted| {
            departure.queued(Leaves::AtOnce, accepted, || false, || now)
        };
        assert!(queued(&mut departure, 1) && departure.is_led());
        departure.asked(2, || now);
        assert!(!queued(&mut departure, 2));
        assert!(queued(&mut departure, 3));
    }
}
