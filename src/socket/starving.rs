//! A socket that wants more of its context's budget than there is: it waits, and is told.

use std::task::Waker;

use super::core::Core;
use super::offer::Lacking;
use super::state::State;
use crate::context::Starving;
use crate::message::Message;
use crate::session::{Link, PipeId};

impl Starving for Core {
    fn budget_freed(&self) {
        let mut state = self.state.lock();
        state.starving = false;
        let mut links = state.read_starved();
        let still = state
            .pipes
            .iter()
            .any(|(_, pipe)| pipe.incoming.is_starved());
        if still && self.wait_for_budget(&mut state) {
            // What came free before it waited again, nobody tells it.
            links.extend(state.read_starved());
        }
        // Each looks for itself whether what is free is enough for its message.
        let wakers = state.senders.all();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        links.iter().for_each(|link| link.wake());
    }
}

impl Core {
    /// Waits to be told that the budget has room. Whether it waits only since
    /// this call: then the caller is to look once more.
    pub(super) fn wait_for_budget(&self, state: &mut State) -> bool {
        if std::mem::replace(&mut state.starving, true) {
            return false;
        }
        let me: std::sync::Weak<dyn Starving> = self.me.clone();
        self.state.budget().wait(me);
        true
    }

    /// A pipe that has taken in more than the budget has is told when there is more.
    pub(super) fn resume_or_wait(&self, state: &mut State, id: PipeId) {
        let starved = state
            .pipe(id)
            .is_some_and(|pipe| pipe.incoming.is_starved());
        if starved
            && self.wait_for_budget(state)
            && state.pipe(id).is_some_and(|pipe| pipe.incoming.resume())
        {
            // Its waker only queues the driver, which takes the lock later.
            let link = state.mark_readable(id);
            link.inspect(|link| link.wake());
        }
    }
}

impl State {
    /// The links that were left unread for want of budget and may be read now.
    fn read_starved(&mut self) -> Vec<Link> {
        let mut resumed = Vec::new();
        for (index, pipe) in &mut self.pipes {
            let starved = pipe.incoming.is_starved() && pipe.incoming.resume();
            if starved | std::mem::take(&mut pipe.unread) {
                let serial = pipe.serial;
                resumed.push(PipeId { index, serial });
            }
        }
        resumed
            .into_iter()
            .filter_map(|id| self.mark_readable(id))
            .collect()
    }

    /// The peer whose turn it is, of those that have room and whom the budget
    /// lets have this message, which is charged.
    #[inline(always)]
    pub(super) fn next_for(&mut self, message: &Message) -> Result<usize, Lacking> {
        let index = self.next_with_room().ok_or(Lacking::Room)?;
        if self.pipes[index].try_charge(message.into()) {
            return Ok(index);
        }
        self.another_for(message).ok_or(Lacking::Budget)
    }

    /// As [`next_for`](Self::next_for), where the budget has refused the one whose turn it is.
    #[cold]
    fn another_for(&mut self, message: &Message) -> Option<usize> {
        // Another may hold so little that the message is free there.
        let others = self.pattern.rotation().map_or(0, |peers| peers.active());
        for _ in 1..others {
            self.pattern.rotation()?.advance();
            let index = self.next_with_room()?;
            if self.pipes[index].try_charge(message.into()) {
                return Some(index);
            }
        }
        None
    }
}
