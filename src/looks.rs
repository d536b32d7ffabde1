//! Whether one who has nothing to do looks again for what comes next, or sleeps until it is there.
//!
//! To be woken up costs both ends of a connection more than a look costs, and time besides. Behind what
//! has just come the next is often as good as on its way: the next part of a stream or of a burst, the
//! answer where two ends talk. So it is looked for, each time behind all that can run. Where that was in
//! vain the receiver sleeps, and looks again after some more have come.

use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task;

use crate::turns::time_is_real;

/// How long is looked for the next: twice the time in which a peer on the same machine answers that has
/// to be woken up itself.
const PATIENCE: Duration = Duration::from_micros(50);

/// How often it may look in vain is kept as a credit, to which all that comes while it looks adds one.
const CREDIT_AT_FIRST: u8 = 4;
const CREDIT_AT_MOST: u8 = 8;

/// What it costs to look in vain, which takes as long as to be woken up several times.
const IN_VAIN: u8 = 4;

/// So often something comes before the first look: what comes once is followed by nothing.
const BLIND_AT_BIRTH: u16 = 3;

/// Without credit so often something comes that is followed by sleep, and twice as often each further
/// time: an end that shares its core with its peer would look for ever in vain.
const BLIND_AT_FIRST: u16 = 15;
const BLIND_AT_MOST: u16 = 1023;

/// What comes in such pieces, of messages of such a size, is a stream of large ones. Beside other threads it
/// is not looked for: one of them is woken by the kernel for what comes, and takes the core that the
/// sender needs.
const LARGE: usize = 16 << 10;
const LARGE_EACH: usize = 2 << 10;

/// Looks again where nothing is, for a while.
pub(crate) struct Looks {
    looking: Looking,
    /// Something has come since nothing was there.
    came: bool,
    /// It is of a stream of large ones.
    large: bool,
    /// None on a runtime of one thread, which needs none.
    place: Option<&'static Place>,
    /// Until when it has that.
    lease: u64,
    /// Goes up with what comes while it looks, and down where nothing does.
    credit: u8,
    /// So often something comes that it sleeps behind.
    blind: u16,
    /// What that will be when the credit is used up next.
    next_blind: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Looking {
    Never,
    No,
    /// From the next look on, behind all that can run, which what came may have set going.
    Soon,
    Since(Instant),
}

impl Looks {
    /// For the runtime that this is called in. Where time is virtual, how long something takes says
    /// nothing: there it never looks.
    pub(crate) fn new() -> Self {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        let looks = flavor.is_ok() && time_is_real();
        let alone = matches!(flavor, Ok(RuntimeFlavor::CurrentThread));
        Self::with(looks, (!alone).then_some(&PLACE))
    }

    fn with(looks: bool, place: Option<&'static Place>) -> Self {
        Self {
            looking: if looks { Looking::No } else { Looking::Never },
            came: false,
            large: false,
            place,
            lease: 0,
            credit: CREDIT_AT_FIRST,
            blind: BLIND_AT_BIRTH,
            next_blind: BLIND_AT_FIRST,
        }
    }

    /// Something has come: so many octets at once, of so many messages, or a part of one.
    #[inline]
    pub(crate) fn note(&mut self, octets: usize, messages: usize) {
        self.note_at(octets, messages, Instant::now);
    }

    fn note_at(&mut self, octets: usize, messages: usize, now: impl FnOnce() -> Instant) {
        self.came = true;
        self.large |= octets >= LARGE && octets / LARGE_EACH >= messages;
        if let Looking::Since(then) = self.looking {
            self.looking = Looking::No;
            if now() - then < PATIENCE {
                self.credit = CREDIT_AT_MOST.min(self.credit + 1);
                self.next_blind = BLIND_AT_FIRST;
            } else {
                self.met_nothing();
            }
        }
    }

    /// Nothing is there. Returns whether to look again, and not to sleep.
    pub(crate) fn again(&mut self) -> bool {
        // What is no task, as the future of a `block_on` beside workers, has nobody ask the kernel between
        // its looks.
        let asks = self.place.is_none() || task::try_id().is_some();
        self.again_at(asks, Instant::now)
    }

    fn again_at(&mut self, asks: bool, now: impl FnOnce() -> Instant) -> bool {
        let (came, large) = (mem::take(&mut self.came), mem::take(&mut self.large));
        if self.looking == Looking::Never {
            return false;
        }
        if came {
            let looks =
                self.blind == 0 && asks && (self.place.is_none() || !large && self.holds(now()));
            self.blind = self.blind.saturating_sub(1);
            self.looking = if looks { Looking::Soon } else { Looking::No };
            return looks;
        }
        if !asks || self.looking == Looking::No {
            self.looking = Looking::No;
            return false;
        }
        let now = now();
        if matches!(self.looking, Looking::Since(then) if now - then >= PATIENCE) {
            self.looking = Looking::No;
            self.met_nothing();
        } else if !self.holds(now) {
            self.looking = Looking::No;
        } else if self.looking == Looking::Soon {
            self.looking = Looking::Since(now);
        }
        self.looking != Looking::No
    }

    /// Whether it has the place, if it needs one, for a time from now.
    fn holds(&mut self, now: Instant) -> bool {
        let lease = &mut self.lease;
        self.place.is_none_or(|place| place.lease(lease, now))
    }

    /// It looked in vain. Without credit it is blind for a while.
    fn met_nothing(&mut self) {
        self.credit = self.credit.saturating_sub(IN_VAIN);
        if self.credit == 0 {
            self.credit = CREDIT_AT_FIRST;
            self.blind = self.next_blind;
            self.next_blind = (2 * self.next_blind + 1).min(BLIND_AT_MOST);
        }
    }
}

/// The one place of a process from which its runtimes of several threads look: many that look would keep
/// all threads busy, and with them the cores that the peers need. It is free again some time after the
/// last look of who has it, whatever became of that.
struct Place {
    /// In nanoseconds behind the start.
    until: AtomicU64,
    start: OnceLock<Instant>,
}

static PLACE: Place = Place::new();

impl Place {
    const fn new() -> Self {
        Self {
            until: AtomicU64::new(0),
            start: OnceLock::new(),
        }
    }

    /// Takes it, or keeps it where this is its lease. Returns whether it was to be had.
    fn lease(&self, lease: &mut u64, now: Instant) -> bool {
        let passed = now.duration_since(*self.start.get_or_init(|| now));
        let (now, until) = (passed.as_nanos() as u64, self.until.load(Ordering::Relaxed));
        if until > now && until != *lease {
            return false;
        }
        let next = now + PATIENCE.as_nanos() as u64;
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let taken = self.until.compare_exchange(until, next, success, failure);
        if taken.is_ok() {
            *lease = next;
        }
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_nanos(PATIENCE.as_nanos() as u64 - 1);

    /// A receiver that reads and looks, on a clock of its own.
    struct Receiver {
        looks: Looks,
        now: Instant,
        /// What it reads in, is a task.
        asks: bool,
    }

    impl Receiver {
        /// One to which enough has come.
        fn new() -> Self {
            Self::beside(None)
        }

        /// The same, on a runtime of several threads if there is a place.
        fn beside(place: Option<&'static Place>) -> Self {
            let mut looks = Looks::with(true, place);
            looks.blind = 0;
            let (now, asks) = (Instant::now(), true);
            Self { looks, now, asks }
        }

        fn note(&mut self) {
            self.looks.note_at(1, 1, || self.now);
        }

        fn again(&mut self) -> bool {
            self.looks.again_at(self.asks, || self.now)
        }

        /// Something comes. Returns whether the receiver looks for more, and does not sleep.
        fn reads(&mut self) -> bool {
            self.note();
            self.again()
        }

        /// Looks in vain for so long, if it looks.
        fn waits(&mut self, duration: Duration) -> bool {
            let looks = self.again();
            self.now += duration;
            looks && self.again()
        }

        /// How often something comes that is slept for, until it looks.
        fn slept_for(&mut self) -> usize {
            (0..10_000).take_while(|_| !self.reads()).count()
        }
    }

    #[test]
    fn what_follows_is_looked_for_and_then_slept_for() {
        let mut receiver = Receiver::new();
        assert!(receiver.reads());
        assert!(receiver.waits(SOON));
        assert!(!receiver.waits(Duration::from_nanos(1)));
    }

    #[test]
    fn how_long_it_takes_its_receiver_to_see_to_what_came_counts_as_no_look() {
        let mut receiver = Receiver::new();
        assert!(receiver.reads());
        receiver.now += 10 * PATIENCE;
        assert!(receiver.waits(SOON));
    }

    #[test]
    fn what_came_in_time_was_worth_it_however_long_it_takes_its_receiver() {
        let mut receiver = Receiver::new();
        receiver.reads();
        receiver.waits(SOON);
        receiver.note();
        receiver.now += 10 * PATIENCE;
        receiver.again();
        assert_eq!(receiver.looks.credit, CREDIT_AT_FIRST + 1);
    }

    #[test]
    fn answers_that_come_soon_are_looked_for_on_and_on() {
        let mut receiver = Receiver::new();
        for _ in 0..1_000 {
            assert!(receiver.reads());
            assert!(receiver.waits(SOON));
        }
    }

    /// So many answers come soon, and the next not at all. Returns whether that goes on.
    fn rests_behind(receiver: &mut Receiver, answers: u8) -> bool {
        (0..1_000).all(|_| {
            let came = (0..answers).all(|_| receiver.reads() && receiver.waits(SOON));
            came && receiver.reads() && !receiver.waits(PATIENCE)
        })
    }

    #[test]
    fn four_that_come_soon_make_up_for_one_that_did_not_come() {
        assert!(rests_behind(&mut Receiver::new(), IN_VAIN));
        assert!(!rests_behind(&mut Receiver::new(), IN_VAIN - 1));
    }

    #[test]
    fn however_many_came_soon_it_looks_in_vain_but_twice() {
        let mut receiver = Receiver::new();
        for _ in 0..1_000 {
            receiver.reads();
            receiver.waits(SOON);
        }
        let in_vain = |_: &usize| receiver.reads() && !receiver.waits(PATIENCE);
        assert_eq!((0..100).take_while(in_vain).count(), 2);
    }

    #[test]
    fn the_more_often_it_looked_in_vain_the_longer_it_sleeps() {
        let mut receiver = Receiver::new();
        receiver.reads();
        for blind in [15, 31, 63, 127, 255, 511, 1_023, 1_023] {
            receiver.waits(PATIENCE);
            assert_eq!(receiver.slept_for(), blind);
        }
    }

    #[test]
    fn an_answer_that_came_soon_ends_that() {
        let mut receiver = Receiver::new();
        receiver.reads();
        for _ in 0..3 {
            receiver.waits(PATIENCE);
            receiver.slept_for();
        }
        receiver.waits(SOON);
        for _ in 0..2 {
            receiver.reads();
            receiver.waits(PATIENCE);
        }
        assert_eq!(receiver.slept_for(), usize::from(BLIND_AT_FIRST));
    }

    #[test]
    fn beside_other_threads_one_looks_at_a_time() {
        static PLACE: Place = Place::new();
        let [mut one, mut other] = [Some(&PLACE); 2].map(Receiver::beside);
        other.now = one.now;
        assert!(one.reads());
        assert!(one.waits(SOON));
        other.now += SOON;
        assert!(!other.reads());
        assert!(one.reads(), "it keeps its place");
    }

    #[test]
    fn one_that_has_stopped_looking_is_followed_by_another() {
        static PLACE: Place = Place::new();
        let [mut one, mut other] = [Some(&PLACE); 2].map(Receiver::beside);
        assert!(one.reads());
        other.now = one.now + PATIENCE;
        assert!(other.reads());
        one.now = other.now;
        assert!(!one.again(), "the place is another's");
    }

    #[test]
    fn beside_other_threads_none_looks_for_a_stream() {
        static PLACE: Place = Place::new();
        let mut receiver = Receiver::beside(Some(&PLACE));
        receiver.looks.note_at(LARGE, 0, || receiver.now);
        assert!(!receiver.again());
        assert!(receiver.reads());
    }

    #[test]
    fn beside_other_threads_one_looks_for_a_burst_of_small_ones() {
        static PLACE: Place = Place::new();
        let mut receiver = Receiver::beside(Some(&PLACE));
        let messages = 4 * LARGE / LARGE_EACH + 1;
        receiver.looks.note_at(4 * LARGE, messages, || receiver.now);
        assert!(receiver.again());
    }

    #[test]
    fn a_runtime_of_one_thread_looks_for_a_stream() {
        let mut receiver = Receiver::new();
        receiver.looks.note_at(LARGE, 0, || receiver.now);
        assert!(receiver.again());
    }

    #[test]
    fn what_is_no_task_sleeps_and_ends_the_look_of_one_that_is() {
        static PLACE: Place = Place::new();
        let mut receiver = Receiver::beside(Some(&PLACE));
        assert!(receiver.reads());
        receiver.asks = false;
        assert!(!receiver.again());
        receiver.asks = true;
        assert!(!receiver.again());
    }

    /// Behind which of the first that come it looks.
    fn first_look() -> Option<u16> {
        let mut looks = Looks::new();
        (0..10).find(|_| {
            looks.note(1, 1);
            looks.again()
        })
    }

    #[tokio::test]
    async fn where_time_is_real_it_looks_once_enough_has_come() {
        assert_eq!(first_look(), Some(BLIND_AT_BIRTH));
    }

    #[tokio::test(start_paused = true)]
    async fn where_time_is_virtual_it_sleeps() {
        assert_eq!(first_look(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_runtime_of_several_threads_looks_from_the_place_of_the_process() {
        let place = Looks::new().place;
        assert!(place.is_some_and(|place| std::ptr::eq(place, &PLACE)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_beside_workers_looks_and_who_waits_for_it_does_not() {
        assert_eq!(first_look(), None);
        // Another test of this process may have the place now.
        let task = tokio::spawn(async {
            while first_look().is_none() {
                task::yield_now().await;
            }
        });
        task.await.expect("no panic");
    }

    #[test]
    fn where_no_runtime_is_it_sleeps() {
        assert_eq!(first_look(), None);
    }
}
