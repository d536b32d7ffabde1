//! The alarm of a link, which rings when its heartbeat is due.
//!
//! ```text
//!  driver ── set ──▶ [due, by time] ◀── waits ── one thread for the process
//!    ▲                                              │
//!    └───────────── waker ◀── rings ────────────────┘
//! ```
//!
//! A timer of the runtime would end each of its waits for the kernel at a time, which costs a round
//! trip some percent; and all that a heartbeat needs is to be woken once in ten seconds. So one thread
//! keeps these times, as long as any link has one. Where time is virtual, and where no thread can be
//! had, a timer of the runtime does.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::time::{self, Sleep, sleep_until};

use crate::sync::AtomicWaker;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::turns::time_is_real;

/// How long the thread waits for the next alarm when there is none.
const IDLE: Duration = Duration::from_secs(1);

/// Rings once at the time that it is set to. Dropping it forgets that.
pub(super) struct Alarm(Keeper);

enum Keeper {
    Thread(Slot),
    Runtime(Option<Pin<Box<Sleep>>>),
}

impl Alarm {
    /// One that is not set.
    pub(super) fn new() -> Self {
        static TIMES: LazyLock<Arc<Times>> = LazyLock::new(|| Times::new(IDLE));
        if time_is_real() {
            Self(Keeper::Thread(Slot::new(TIMES.clone())))
        } else {
            Self(Keeper::Runtime(None))
        }
    }

    /// Sets it to another time, or to none. It is always the same that it rings.
    pub(super) fn set<B: Rings>(&mut self, ringing: &Arc<B>, at: Option<time::Instant>) {
        if let Keeper::Thread(slot) = &mut self.0 {
            if slot.set(ringing, at.map(time::Instant::into_std)) {
                return;
            }
            self.0 = Keeper::Runtime(None);
        }
        let Keeper::Runtime(timer) = &mut self.0 else {
            return;
        };
        match (at, timer.as_mut()) {
            (Some(at), Some(timer)) => timer.as_mut().reset(at),
            (at, _) => *timer = at.map(|at| Box::pin(sleep_until(at))),
        }
    }

    /// Ready when it has rung since it was set.
    pub(super) fn poll(&mut self, ringing: &impl Rings, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Keeper::Thread(_) if ringing.bell().has_rung() => Poll::Ready(()),
            Keeper::Runtime(Some(timer)) => timer.as_mut().poll(context),
            Keeper::Thread(_) | Keeper::Runtime(None) => Poll::Pending,
        }
    }
}

/// The times that one thread keeps, while there are any.
struct Times {
    queue: Mutex<Queue>,
    /// An alarm rings before all others, or the thread has ended.
    changed: Condvar,
    idle: Duration,
}

#[derive(Default)]
struct Queue {
    due: BTreeMap<Place, Arc<dyn Rings>>,
    running: bool,
}

/// Where an alarm stands: by its time, and by a number of its own.
type Place = (Instant, u64);

/// Wakes a driver, and tells it whether its alarm has rung.
pub(super) struct Bell {
    driver: AtomicWaker,
    rung: AtomicBool,
}

/// What has a bell. The thread holds it as long as its alarm is set.
pub(super) trait Rings: Send + Sync + 'static {
    fn bell(&self) -> &Bell;
}

/// An alarm that the thread rings.
struct Slot {
    times: Arc<Times>,
    number: u64,
    set: Option<Instant>,
}

impl Times {
    fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            idle,
        })
    }

    /// Sees to it that the alarm that was just set rings. Returns whether somebody does that.
    fn attend(self: &Arc<Self>, queue: &mut Queue, place: Place) -> bool {
        if queue.running {
            if queue.due.keys().next() == Some(&place) {
                self.changed.notify_all();
            }
            return true;
        }
        let times = self.clone();
        let thread = thread::Builder::new().name("pushsub-alarm".into());
        queue.running = thread.spawn(move || times.run()).is_ok();
        queue.running
    }

    /// Rings what is due, until nothing is for a while.
    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            if let Some(ringing) = queue.take_due(Instant::now()) {
                // It may be the last that holds it, whose end is not to be under the lock.
                MutexGuard::unlocked(&mut queue, move || ringing.bell().ring());
                continue;
            }
            if let Some((at, _)) = queue.due.keys().next().copied() {
                self.changed.wait_until(&mut queue, at);
                continue;
            }
            let waited = self.changed.wait_for(&mut queue, self.idle);
            if waited.timed_out() && queue.due.is_empty() {
                queue.running = false;
                self.changed.notify_all();
                return;
            }
        }
    }
}

impl Queue {
    /// Takes out the first, if its time has come.
    fn take_due(&mut self, now: Instant) -> Option<Arc<dyn Rings>> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

impl Bell {
    pub(super) fn new() -> Self {
        Self {
            driver: AtomicWaker::new(),
            rung: AtomicBool::new(false),
        }
    }

    /// Wakes the driver for any other reason.
    pub(super) fn wake(&self) {
        self.driver.wake();
    }

    /// It is the waker's task that it wakes from now on.
    pub(super) fn register(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    fn has_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.driver.wake();
    }
}

impl Slot {
    fn new(times: Arc<Times>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Self {
            times,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            set: None,
        }
    }

    fn place(&self, at: Instant) -> Place {
        (at, self.number)
    }

    /// Returns whether it will ring then. One that rings while it is set anew rings early.
    fn set<B: Rings>(&mut self, ringing: &Arc<B>, at: Option<Instant>) -> bool {
        let bell = ringing.bell();
        if at == self.set && !bell.has_rung() {
            return true;
        }
        let mut queue = self.times.queue.lock();
        if let Some(before) = self.set.take() {
            queue.due.remove(&self.place(before));
        }
        bell.rung.store(false, Ordering::Release);
        let Some(at) = at else { return true };
        self.set = Some(at);
        let place = self.place(at);
        queue.due.insert(place, ringing.clone());
        self.times.attend(&mut queue, place)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(at) = self.set {
            self.times.queue.lock().due.remove(&self.place(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, mpsc};
    use std::task::Poll;
    use std::time::{Duration, Instant};

    use tokio::time;

    use super::{Alarm, Bell, IDLE, Keeper, Rings, Slot, Times};

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(3_600);

    impl Rings for Bell {
        fn bell(&self) -> &Bell {
            self
        }
    }

    /// Says, when it ends, whether the queue is free.
    struct Last {
        bell: Bell,
        times: Arc<Times>,
        ended: mpsc::Sender<bool>,
    }

    impl Rings for Last {
        fn bell(&self) -> &Bell {
            &self.bell
        }
    }

    impl Drop for Last {
        fn drop(&mut self) {
            let free = self.times.queue.try_lock().is_some();
            let _ = self.ended.send(free);
        }
    }

    /// Waits until it has rung, as a driver does, and says when.
    async fn rings(times: &Arc<Times>, ats: &[Instant]) -> Instant {
        let bell = Arc::new(Bell::new());
        let mut slot = Slot::new(times.clone());
        for at in ats {
            assert!(slot.set(&bell, Some(*at)));
        }
        poll_fn(|context| {
            bell.register(context.waker());
            match bell.has_rung() {
                true => Poll::Ready(Instant::now()),
                false => Poll::Pending,
            }
        })
        .await
    }

    #[tokio::test]
    async fn it_rings_when_its_time_has_come_and_not_before() {
        let times = Times::new(IDLE);
        let at = Instant::now() + SOON;
        assert!(rings(&times, &[at]).await >= at);
    }

    #[tokio::test]
    async fn the_time_that_it_was_set_to_last_counts() {
        let times = Times::new(IDLE);
        let now = Instant::now();
        let (soon, later) = (now + SOON, now + SOON * 2);
        assert!(rings(&times, &[now + LATE, soon]).await >= soon);
        assert!(rings(&times, &[soon, later]).await >= later);
        assert!(times.queue.lock().due.is_empty());
    }

    #[tokio::test]
    async fn each_rings_at_its_own_time() {
        let times = Times::new(IDLE);
        let now = Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for place in (0..300).rev() {
            let (times, at) = (times.clone(), now + SOON + SOON / 100 * place);
            all.spawn(async move { assert!(rings(&times, &[at]).await >= at) });
        }
        while let Some(rung) = all.join_next().await {
            rung.expect("in time");
        }
    }

    #[test]
    fn one_that_is_dropped_or_set_to_no_time_is_forgotten() {
        let times = Times::new(IDLE);
        let bells = [0, 1].map(|_| Arc::new(Bell::new()));
        let mut slots = [0, 1].map(|_| Slot::new(times.clone()));
        for (slot, bell) in slots.iter_mut().zip(&bells) {
            assert!(slot.set(bell, Some(Instant::now() + LATE)));
        }
        assert!(slots[0].set(&bells[0], None));
        assert_eq!(times.queue.lock().due.len(), 1);
        drop(slots);
        assert!(times.queue.lock().due.is_empty());
    }

    /// The last holder of a link may be the last of its socket, whose end does what its owners like.
    #[test]
    fn what_the_thread_is_the_last_to_hold_ends_without_its_lock() {
        let times = Times::new(Duration::ZERO);
        let (ended, end) = mpsc::channel();
        let last = Last {
            bell: Bell::new(),
            times: times.clone(),
            ended,
        };
        let place = (Instant::now(), u64::MAX);
        let mut queue = times.queue.lock();
        queue.due.insert(place, Arc::new(last));
        assert!(times.attend(&mut queue, place));
        drop(queue);
        assert_eq!(end.recv(), Ok(true));
    }

    #[test]
    fn its_thread_ends_when_none_is_set_and_begins_anew() {
        let times = Times::new(Duration::ZERO);
        for _ in 0..3 {
            let bell = Arc::new(Bell::new());
            let mut slot = Slot::new(times.clone());
            assert!(slot.set(&bell, Some(Instant::now())));
            let mut queue = times.queue.lock();
            while queue.running {
                let waited = times.changed.wait_for(&mut queue, LATE);
                assert!(!waited.timed_out());
            }
            assert!(bell.has_rung());
        }
    }

    #[tokio::test]
    async fn where_time_is_real_the_thread_keeps_it() {
        let alarm = Alarm::new();
        assert!(matches!(alarm.0, Keeper::Thread(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn where_time_is_virtual_the_runtime_keeps_it() {
        let (mut alarm, bell) = (Alarm::new(), Arc::new(Bell::new()));
        assert!(matches!(alarm.0, Keeper::Runtime(None)));
        let begun = time::Instant::now();
        alarm.set(&bell, Some(begun + LATE));
        poll_fn(|context| alarm.poll(&*bell, context)).await;
        assert_eq!(begun.elapsed(), LATE);
    }
}
