//! Whether a receiver looks again for what comes next, or sleeps until it is there.
//!
//! To be woken up costs both ends of a connection more than a look costs, and time besides. So what is
//! as good as on its way is looked for, each time behind all that can run: the next part of a stream,
//! and the next message where two ends answer each other. Where that was in vain the receiver sleeps,
//! and looks again after some more of the kind.

use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task;

use super::alarm::time_is_real;

/// Looks again at a wire that has nothing, for a while.
pub(super) struct Looks {
    stream: Stream,
    exchange: Exchange,
    /// On a runtime of one thread.
    alone: bool,
}

impl Looks {
    /// For the runtime that this is called in.
    pub(super) fn new() -> Self {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        // Where several workers take turns at waiting for the kernel, looking for a stream would keep
        // none of them awake.
        let alone = matches!(flavor, Ok(RuntimeFlavor::CurrentThread));
        Self {
            alone,
            stream: Stream::new(if alone { LOOKS } else { 0 }),
            // Where time is virtual, how long it takes says nothing.
            exchange: Exchange::new(flavor.is_ok() && time_is_real()),
        }
    }

    /// So many octets were read at once.
    pub(super) fn note_read(&mut self, octets: usize) {
        self.stream.note(octets);
        self.exchange.large |= octets >= SMALL;
    }

    /// So many messages came of it.
    pub(super) fn note_messages(&mut self, count: usize) {
        self.exchange.note(count);
    }

    /// Nothing was there. Returns whether to look again, and not to sleep.
    pub(super) fn again(&mut self) -> bool {
        // What is no task, as the future of a `block_on` beside workers, has nobody ask the kernel between
        // its looks.
        let asks = self.alone || task::try_id().is_some();
        let exchange = asks && self.exchange.again(Instant::now);
        self.stream.again() || exchange
    }
}

/// A read of so many octets is a part of a stream, whose next part is as good as on its way.
const STREAM: usize = 16 << 10;

/// How often it is looked for.
const LOOKS: u8 = 16;

/// After looking in vain so many parts of the stream are slept for: they come slowly.
const BLIND: u8 = 15;

/// Looks for the next part of a stream, a number of times.
struct Stream {
    /// How many there are behind a part.
    most: u8,
    left: u8,
    /// Parts behind which there are none.
    blind: u8,
}

impl Stream {
    fn new(most: u8) -> Self {
        Self {
            most,
            left: 0,
            blind: 0,
        }
    }

    fn note(&mut self, octets: usize) {
        if octets < STREAM {
            return;
        }
        self.left = if self.blind == 0 { self.most } else { 0 };
        self.blind = self.blind.saturating_sub(1);
    }

    fn again(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        if self.left == 0 {
            self.blind = BLIND;
        }
        true
    }
}

/// Where so many messages in a row came alone, two ends answer each other.
const IN_A_ROW: u8 = 4;

/// What is read with a message that came alone; a larger one may be of a stream.
const SMALL: usize = 4 << 10;

/// How long is looked for the next: twice the time in which a peer on the same machine answers that has
/// to be woken up itself.
const PATIENCE: Duration = Duration::from_micros(50);

/// What came within this time was worth looking for: to be woken up would have cost as much.
const SOON: Duration = Duration::from_micros(25);

/// So often it may come later until one comes soon: a peer that looks as well does from then on.
const LATE: u8 = 4;

/// After looking in vain so many lone messages are followed by sleep, and twice as many each further
/// time: an end that shares its core with its peer would look for ever in vain.
const BLIND_AT_FIRST: u16 = 15;
const BLIND_AT_MOST: u16 = 1023;

/// Looks for what follows a message that came alone, for some time.
struct Exchange {
    looking: Looking,
    /// What was read since the wire was last found empty: how many messages, of which two are as good as
    /// more, and whether there was much of it.
    messages: u8,
    large: bool,
    /// Messages that came alone, in a row.
    row: u8,
    /// Those of them that came late since one came soon.
    late: u8,
    /// Lone messages behind which it sleeps.
    blind: u16,
    /// What that will be after looking in vain.
    next_blind: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Looking {
    Never,
    No,
    /// From the next look on, behind all that can run, which the message may have set going.
    Soon,
    Since(Instant),
}

impl Exchange {
    fn new(looks: bool) -> Self {
        Self {
            looking: if looks { Looking::No } else { Looking::Never },
            messages: 0,
            large: false,
            row: 0,
            late: 0,
            blind: 0,
            next_blind: BLIND_AT_FIRST,
        }
    }

    fn note(&mut self, messages: usize) {
        self.messages = (usize::from(self.messages) + messages).min(2) as u8;
    }

    fn again(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.messages > 0 {
            return self.begin(now);
        }
        match self.looking {
            Looking::Never | Looking::No => return false,
            Looking::Soon => self.looking = Looking::Since(now()),
            Looking::Since(then) if now() - then < PATIENCE => {}
            Looking::Since(_) => {
                self.looking = Looking::No;
                self.met_nothing();
                return false;
            }
        }
        true
    }

    /// Something has come. Returns whether to look for what follows.
    fn begin(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let lone = self.messages == 1 && !self.large;
        (self.messages, self.large) = (0, false);
        match self.looking {
            Looking::Never => return false,
            Looking::Since(then) if now() - then < SOON => {
                self.late = 0;
                self.next_blind = BLIND_AT_FIRST;
            }
            Looking::Since(_) => {
                self.late += 1;
                if self.late == LATE {
                    self.met_nothing();
                }
            }
            Looking::No | Looking::Soon => {}
        }
        if lone {
            self.row = IN_A_ROW.min(self.row + 1);
        } else {
            (self.row, self.late) = (0, 0);
        }
        let exchanges = self.row == IN_A_ROW;
        let looks = exchanges && self.blind == 0;
        self.blind = self.blind.saturating_sub(exchanges.into());
        self.looking = if looks { Looking::Soon } else { Looking::No };
        looks
    }

    /// It looked in vain.
    fn met_nothing(&mut self) {
        self.late = 0;
        self.blind = self.next_blind;
        self.next_blind = (2 * self.next_blind + 1).min(BLIND_AT_MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks_behind(stream: &mut Stream, octets: usize) -> usize {
        stream.note(octets);
        (0..100).take_while(|_| stream.again()).count()
    }

    #[test]
    fn a_part_of_a_stream_is_followed_by_looks_and_then_by_sleep() {
        let mut stream = Stream::new(LOOKS);
        assert_eq!(looks_behind(&mut stream, STREAM), usize::from(LOOKS));
    }

    #[test]
    fn a_small_read_is_followed_by_sleep() {
        assert_eq!(looks_behind(&mut Stream::new(LOOKS), STREAM - 1), 0);
    }

    #[test]
    fn a_stream_that_was_looked_for_in_vain_is_slept_for_a_while() {
        let mut stream = Stream::new(LOOKS);
        looks_behind(&mut stream, STREAM);
        for _ in 0..BLIND {
            assert_eq!(looks_behind(&mut stream, STREAM), 0);
        }
        assert_eq!(looks_behind(&mut stream, STREAM), usize::from(LOOKS));
    }

    #[test]
    fn a_stream_that_is_met_by_looking_is_looked_for_on_and_on() {
        let mut stream = Stream::new(LOOKS);
        for _ in 0..100 {
            stream.note(STREAM);
            assert!(stream.again());
        }
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_looks_for_streams() {
        assert!(looks_behind(&mut Looks::new().stream, STREAM) > 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_runtime_of_several_workers_sleeps_for_streams() {
        assert_eq!(looks_behind(&mut Looks::new().stream, STREAM), 0);
    }

    /// A receiver that reads and looks, on a clock of its own.
    struct Receiver {
        exchange: Exchange,
        now: Instant,
    }

    impl Receiver {
        /// One that has met an exchange.
        fn new() -> Self {
            let mut receiver = Self {
                exchange: Exchange::new(true),
                now: Instant::now(),
            };
            (1..IN_A_ROW).for_each(|_| assert!(!receiver.reads(1)));
            receiver
        }

        fn again(&mut self) -> bool {
            self.exchange.again(|| self.now)
        }

        /// So many messages are read at once. Returns whether the receiver looks for more, and not sleeps.
        fn reads(&mut self, messages: usize) -> bool {
            self.exchange.note(messages);
            self.again()
        }

        /// Looks in vain for so long, if it looks.
        fn waits(&mut self, duration: Duration) -> bool {
            let looks = self.again();
            self.now += duration;
            looks && self.again()
        }

        /// How many lone messages are slept for until one is looked for.
        fn slept_for(&mut self) -> usize {
            (0..10_000).take_while(|_| !self.reads(1)).count()
        }
    }

    #[test]
    fn what_follows_a_lone_message_is_looked_for_and_then_slept_for() {
        let mut receiver = Receiver::new();
        assert!(receiver.reads(1));
        assert!(receiver.waits(PATIENCE - Duration::from_nanos(1)));
        assert!(!receiver.waits(Duration::from_nanos(1)));
    }

    #[test]
    fn how_long_the_message_takes_its_receiver_counts_as_no_look() {
        let mut receiver = Receiver::new();
        assert!(receiver.reads(1));
        receiver.now += 10 * PATIENCE;
        assert!(receiver.waits(PATIENCE / 2));
    }

    #[test]
    fn what_follows_several_messages_is_slept_for() {
        let mut receiver = Receiver::new();
        assert!(!receiver.reads(2));
        assert!(!receiver.reads(1));
    }

    #[test]
    fn what_follows_a_large_message_is_slept_for() {
        let mut receiver = Receiver::new();
        receiver.exchange.large = true;
        assert!(!receiver.reads(1));
    }

    #[test]
    fn answers_that_come_soon_are_looked_for_on_and_on() {
        let mut receiver = Receiver::new();
        for _ in 0..1_000 {
            assert!(receiver.reads(1));
            assert!(receiver.waits(SOON / 2));
        }
    }

    #[test]
    fn answers_that_come_late_are_looked_for_a_few_times() {
        let mut receiver = Receiver::new();
        for _ in 0..LATE {
            assert!(receiver.reads(1));
            assert!(receiver.waits(SOON));
        }
        assert_eq!(receiver.slept_for(), usize::from(BLIND_AT_FIRST));
    }

    #[test]
    fn one_that_comes_soon_makes_up_for_those_that_came_late() {
        let mut receiver = Receiver::new();
        for turn in 0..10 * LATE {
            assert!(receiver.reads(1));
            assert!(receiver.waits(if turn % LATE == 0 { SOON / 2 } else { SOON }));
        }
    }

    #[test]
    fn the_more_often_it_looked_in_vain_the_longer_it_sleeps() {
        let mut receiver = Receiver::new();
        receiver.reads(1);
        for blind in [15, 31, 63, 127, 255, 511, 1_023, 1_023] {
            receiver.waits(PATIENCE);
            assert_eq!(receiver.slept_for(), blind);
        }
    }

    #[test]
    fn an_answer_that_came_soon_ends_that() {
        let mut receiver = Receiver::new();
        receiver.reads(1);
        for _ in 0..3 {
            receiver.waits(PATIENCE);
            receiver.slept_for();
        }
        receiver.waits(SOON / 2);
        receiver.reads(1);
        receiver.waits(PATIENCE);
        assert_eq!(receiver.slept_for(), usize::from(BLIND_AT_FIRST));
    }

    fn looks_in_an_exchange() -> bool {
        let mut looks = Looks::new();
        (1..=IN_A_ROW).any(|_| {
            looks.note_messages(1);
            looks.again()
        })
    }

    #[tokio::test]
    async fn where_time_is_real_answers_are_looked_for() {
        assert!(looks_in_an_exchange());
    }

    #[tokio::test(start_paused = true)]
    async fn where_time_is_virtual_answers_are_slept_for() {
        assert!(!looks_in_an_exchange());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_looks_for_answers() {
        let task = tokio::spawn(async { looks_in_an_exchange() });
        assert!(task.await.expect("no panic"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_no_task_sleeps_for_answers() {
        assert!(!looks_in_an_exchange());
    }
}
