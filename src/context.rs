//! What sockets of one program share: the names of inproc, and the octets that they may hold together.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Weak};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Octets that all sockets of a context hold together, unless it is told otherwise.
const BUDGET: usize = 256 << 20;

/// Whoever holds no more than this is not charged: a peer whose messages are small
/// goes on while others hold the whole budget, and its path meets no atomic.
pub(crate) const FREE: usize = 16 << 10;

/// What is charged at once, so that a queue that grows by small messages seldom asks.
pub(crate) const GRANULE: usize = 64 << 10;

/// The names of inproc and a budget of memory, shared by all sockets that are
/// made with it ([`Options::context`](crate::Options::context)).
///
/// All sockets share [`Context::default`] unless they are told otherwise, so a program
/// needs none of its own. Clones are the same context.
///
/// The budget bounds what the sockets hold for their peers: messages that wait to be
/// written or delivered, and those of which only a part has come. Each direction of a
/// connection that holds at most 16 KiB is not charged; above that all of it is, in
/// steps of 64 KiB. Where the budget has nothing left, a pipe counts as full: `send` waits,
/// `try_send` says so, PUB, ROUTER and their like drop and count; and a link whose messages have no
/// place is left unread. Whoever waits goes on when others give back. A message of
/// which a part has come, and whose rest has had no place for 10 s, ends its connection with
/// [`LinkError::OutOfBudget`](crate::LinkError::OutOfBudget).
///
/// ```
/// use pushsub::{Context, Options, Pull};
///
/// let context = Context::builder().budget(64 << 20).build();
/// let pull = Pull::with_options(Options::default().context(&context))?;
/// assert_eq!(context.used(), 0);
/// # Ok::<(), pushsub::OptionsError>(())
/// ```
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    budget: Arc<Budget>,
}

/// Makes a [`Context`].
#[derive(Clone, Debug)]
pub struct ContextBuilder {
    budget: usize,
}

impl ContextBuilder {
    /// Octets that all sockets of the context hold together. Default 256 MiB; less
    /// than 64 KiB counts as 64 KiB. No message may be larger than half of it, whatever
    /// [`Options::max_message_size`](crate::Options::max_message_size) says.
    #[must_use]
    pub fn budget(mut self, octets: usize) -> Self {
        self.budget = octets.max(GRANULE);
        self
    }

    /// The context.
    #[must_use]
    pub fn build(self) -> Context {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let shared = Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            budget: Arc::new(Budget::new(self.budget)),
        };
        Context {
            shared: Arc::new(shared),
        }
    }
}

impl Context {
    /// A context of its own, with the default budget.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A context of its own, to be told more.
    #[must_use]
    pub fn builder() -> ContextBuilder {
        ContextBuilder { budget: BUDGET }
    }

    /// Octets that its sockets may hold together.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.shared.budget.total
    }

    /// Octets that are charged at present. It may be above the budget for a
    /// moment, by what a link had read when the budget was used up, and by
    /// messages that were sent with a [`Permit`](crate::Permit).
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.budget.used.load(Ordering::SeqCst)
    }

    /// Tells its names from those of others.
    pub(crate) fn id(&self) -> u64 {
        self.shared.id
    }

    pub(crate) fn shared_budget(&self) -> &Arc<Budget> {
        &self.shared.budget
    }

    /// The largest message that can always be admitted once others have given back.
    pub(crate) fn largest_message(&self) -> usize {
        self.shared.budget.total / 2
    }

    /// A lease of nothing.
    pub(crate) fn lease(&self) -> Lease {
        Lease {
            budget: self.shared.budget.clone(),
            held: 0,
        }
    }
}

/// The context of all sockets that are not told otherwise.
impl Default for Context {
    fn default() -> Self {
        static OF_THE_PROCESS: LazyLock<Context> = LazyLock::new(Context::new);
        OF_THE_PROCESS.clone()
    }
}

impl From<&Self> for Context {
    fn from(context: &Self) -> Self {
        context.clone()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Context")
            .field("budget", &self.budget())
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

/// Who is told when octets come free. Called while no lock of a socket is held.
pub(crate) trait Starving: Send + Sync {
    fn budget_freed(&self);
}

/// The octets of a context.
pub(crate) struct Budget {
    total: usize,
    used: AtomicUsize,
    /// Somebody waits.
    starving: AtomicBool,
    /// Octets came free since somebody waits, and nobody was told yet.
    freed: AtomicBool,
    waiting: Mutex<Vec<Weak<dyn Starving>>>,
}

impl Budget {
    fn new(total: usize) -> Self {
        Self {
            total,
            used: AtomicUsize::new(0),
            starving: AtomicBool::new(false),
            freed: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Waits: is told once, when octets have come free. The caller asks for them once
    /// more after this, as they may have come free before.
    pub(crate) fn wait(&self, who: Weak<dyn Starving>) {
        let mut waiting = self.waiting.lock();
        waiting.push(who);
        self.starving.store(true, Ordering::SeqCst);
    }

    /// Tells those who wait that octets came free, if any did. Those who give
    /// back call it when they have let go of the locks under which they did.
    #[inline]
    pub(crate) fn tell(&self) {
        if self.freed.load(Ordering::Relaxed) && self.freed.swap(false, Ordering::SeqCst) {
            self.tell_all();
        }
    }

    #[cold]
    fn tell_all(&self) {
        let waiting = {
            let mut waiting = self.waiting.lock();
            self.starving.store(false, Ordering::SeqCst);
            std::mem::take(&mut *waiting)
        };
        for who in waiting.iter().filter_map(Weak::upgrade) {
            who.budget_freed();
        }
    }

    fn take(&self, octets: usize) -> bool {
        let fits = |used: usize| used.checked_add(octets).filter(|sum| *sum <= self.total);
        let order = Ordering::SeqCst;
        self.used.fetch_update(order, order, fits).is_ok()
    }

    fn give(&self, octets: usize) {
        self.used.fetch_sub(octets, Ordering::SeqCst);
        if self.starving.load(Ordering::SeqCst) {
            self.freed.store(true, Ordering::SeqCst);
        }
    }
}

/// What one holder, as a half of a pipe, is charged for. Dropping it gives all back.
pub(crate) struct Lease {
    budget: Arc<Budget>,
    held: usize,
}

/// By how much a lease grows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Growth {
    /// To whole granules: it need not ask again soon.
    Rounded,
    /// By what is needed: a budget that cannot give a whole granule may still have that.
    Exact,
}

impl Growth {
    /// In the order in which they are tried.
    pub(crate) const ALL: [Self; 2] = [Self::Rounded, Self::Exact];
}

impl Lease {
    /// Covers so many octets if the budget allows it.
    #[inline]
    pub(crate) fn try_cover(&mut self, octets: usize) -> bool {
        octets <= FREE.max(self.held) || self.try_grow(octets)
    }

    /// Octets that it covers besides so many.
    pub(crate) fn free(&self, octets: usize) -> usize {
        FREE.max(self.held).saturating_sub(octets)
    }

    /// Octets that are to be taken before it covers so many.
    pub(crate) fn lacks(&self, octets: usize, growth: Growth) -> usize {
        if octets <= FREE.max(self.held) {
            return 0;
        }
        match growth {
            Growth::Rounded => octets.next_multiple_of(GRANULE) - self.held,
            Growth::Exact => octets - self.held,
        }
    }

    /// Takes what several leases of this budget lack together, all of it or
    /// nothing. Each is to be [granted](Self::grant) its share.
    pub(crate) fn take_for_all(&self, lacking: usize) -> bool {
        self.budget.take(lacking)
    }

    /// Covers so many octets by what was taken for it.
    pub(crate) fn grant(&mut self, octets: usize, growth: Growth) {
        self.held += self.lacks(octets, growth);
    }

    /// Covers so many octets, which are there already, whether the budget allows it or not.
    #[inline]
    pub(crate) fn cover(&mut self, octets: usize) {
        if !self.try_cover(octets) {
            self.exceed(octets);
        }
    }

    #[cold]
    fn exceed(&mut self, octets: usize) {
        let more = octets - self.held;
        self.budget.used.fetch_add(more, Ordering::SeqCst);
        self.held = octets;
    }

    #[cold]
    fn try_grow(&mut self, octets: usize) -> bool {
        let granted = Growth::ALL
            .map(|growth| self.lacks(octets, growth))
            .into_iter()
            .find(|octets| self.budget.take(*octets));
        self.held += granted.unwrap_or(0);
        granted.is_some()
    }

    /// Gives back what is too much for so many octets.
    #[inline]
    pub(crate) fn settle(&mut self, octets: usize) {
        if self.held > 0 {
            self.give_back(octets);
        }
    }

    fn give_back(&mut self, octets: usize) {
        let kept = if octets <= FREE {
            0
        } else {
            octets.next_multiple_of(GRANULE)
        };
        // One granule more is kept, for a queue that moves up and down about its end.
        if kept == 0 || self.held > kept + GRANULE {
            self.budget.give(self.held - kept);
            self.held = kept;
        }
    }

    /// Whether it holds octets of a budget that is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.held > 0 && self.budget.used.load(Ordering::SeqCst) > self.budget.total
    }

    /// A lease of nothing from the same budget.
    pub(crate) fn another(&self) -> Self {
        Self {
            budget: self.budget.clone(),
            held: 0,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.held > 0 {
            self.budget.give(self.held);
        }
    }
}

#[cfg(all(test, pushsub_loom))]
mod loom;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Context, FREE, GRANULE, Starving};

    fn of(octets: usize) -> Context {
        Context::builder().budget(octets).build()
    }

    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Starving for Told {
        fn budget_freed(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_little_is_free_and_more_is_charged_whole() {
        let context = of(4 * GRANULE);
        let mut lease = context.lease();
        assert!(lease.try_cover(FREE));
        assert_eq!(context.used(), 0);
        assert!(lease.try_cover(FREE + 1));
        assert_eq!(context.used(), GRANULE);
        lease.settle(FREE);
        assert_eq!(context.used(), 0);
    }

    #[test]
    fn what_is_left_is_granted_to_the_octet_and_no_more() {
        let context = of(GRANULE + 5_000);
        let (mut one, mut other) = (context.lease(), context.lease());
        assert!(one.try_cover(GRANULE));
        assert!(!other.try_cover(FREE + 1), "5,000 octets are left");
        assert!(one.try_cover(GRANULE + 5_000));
        assert!(!one.try_cover(GRANULE + 5_001));
        assert!(other.try_cover(FREE));
        drop(one);
        assert_eq!(context.used(), 0);
    }

    #[test]
    fn those_who_wait_are_told_once_when_octets_came_free_and_not_before() {
        let context = of(2 * GRANULE);
        let budget = context.shared_budget();
        let told = Arc::new(Told::default());
        let mut lease = context.lease();
        assert!(lease.try_cover(2 * GRANULE));
        let weak = Arc::downgrade(&told);
        budget.wait(weak);
        budget.tell();
        assert_eq!(told.0.load(Ordering::SeqCst), 0);
        lease.settle(0);
        budget.tell();
        budget.tell();
        assert_eq!(told.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_there_already_is_charged_above_the_budget() {
        let context = of(GRANULE);
        let mut lease = context.lease();
        lease.cover(2 * GRANULE);
        assert_eq!(context.used(), 2 * GRANULE);
        assert!(lease.is_over());
        lease.settle(FREE + 1);
        assert!(!lease.is_over() || context.used() > GRANULE);
        lease.settle(0);
        assert_eq!(context.used(), 0);
    }
}
