//! The lock of a socket, which tells those who wait for the budget when it is let go.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::state::State;
use crate::context::Budget;

/// Guards the state of a socket.
pub(super) struct Lock {
    state: Mutex<State>,
    budget: Arc<Budget>,
}

/// The state, while it is locked.
pub(super) struct Guard<'a> {
    /// `None` only while it is dropped.
    state: Option<MutexGuard<'a, State>>,
    budget: &'a Budget,
}

impl Lock {
    pub(super) fn new(state: State, budget: Arc<Budget>) -> Self {
        Self {
            state: Mutex::new(state),
            budget,
        }
    }

    pub(super) fn lock(&self) -> Guard<'_> {
        Guard {
            state: Some(self.state.lock()),
            budget: &self.budget,
        }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl Drop for Lock {
    /// What the pipes hold is free with them.
    fn drop(&mut self) {
        self.state.get_mut().pipes.clear();
        self.budget.tell();
    }
}

impl Deref for Guard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_ref().expect("it is let go by the drop only")
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("it is let go by the drop only")
    }
}

impl Drop for Guard<'_> {
    /// Those who are told take locks of their own.
    fn drop(&mut self) {
        self.state = None;
        self.budget.tell();
    }
}
