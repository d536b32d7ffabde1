//! The lock of a socket, which wakes those who wait for a receipt, and tells those who wait for the
//! budget, when it is free again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use super::state::State;
use crate::context::Budget;
use crate::pipe::Wakeups;
use crate::sync::{Mutex, MutexGuard};

/// What a socket's lock guards, and whom to wake after it.
pub(super) struct Guarded {
    state: Mutex<State>,
    /// Made with the first receipt.
    wakeups: OnceLock<Arc<Wakeups>>,
    budget: Arc<Budget>,
}

/// The lock, held.
pub(super) struct Locked<'a> {
    // The fields are dropped in this order: the lock first.
    state: MutexGuard<'a, State>,
    _after: After<'a>,
}

/// Wakes when it is dropped.
struct After<'a> {
    wakeups: &'a OnceLock<Arc<Wakeups>>,
    budget: &'a Budget,
}

impl Guarded {
    pub(super) fn new(state: State, budget: Arc<Budget>) -> Self {
        Self {
            state: Mutex::new(state),
            wakeups: OnceLock::new(),
            budget,
        }
    }

    /// For anything.
    #[inline]
    pub(super) fn lock(&self) -> Locked<'_> {
        let mut locked = self.lock_for_one();
        locked.visits += 1;
        locked
    }

    /// For a message that only goes behind others: the allowances stay, and as nothing comes free
    /// nobody is to be told.
    #[inline]
    pub(super) fn lock_to_follow(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// For one message, which is sent or received: the allowances stay, but for that of the pipe
    /// that it goes into.
    #[inline]
    pub(super) fn lock_for_one(&self) -> Locked<'_> {
        Locked {
            state: self.state.lock(),
            _after: After {
                wakeups: &self.wakeups,
                budget: &self.budget,
            },
        }
    }

    /// Where those go who are to be woken when the lock is free.
    pub(super) fn wakeups(&self) -> &Arc<Wakeups> {
        self.wakeups.get_or_init(Arc::default)
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl Drop for Guarded {
    /// What the pipes hold is free with them.
    fn drop(&mut self) {
        self.state.get_mut().pipes.clear();
        self.budget.tell();
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for After<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(wakeups) = self.wakeups.get() {
            wake_all(wakeups);
        }
        self.budget.tell();
    }
}

#[cold]
fn wake_all(wakeups: &Wakeups) {
    let wakers = std::mem::take(&mut *wakeups.lock());
    wakers.into_iter().for_each(Waker::wake);
}
