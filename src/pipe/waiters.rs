//! Who waits for a message or for room, first come first served.

use std::collections::VecDeque;
use std::task::Waker;

/// The tasks that wait at one side of a socket.
///
/// Each waiter holds a ticket. A wake-up takes it off the queue; a waiter that
/// was woken and gives up instead of looking passes the wake-up on.
#[derive(Default)]
pub(crate) struct Waiters {
    /// Ascending by ticket.
    queue: VecDeque<(u64, Waker)>,
    next: u64,
}

/// A place in the queue; `None` inside: not waiting.
#[derive(Default, Debug)]
pub(crate) struct Ticket(Option<u64>);

impl Ticket {
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.is_some()
    }
}

impl Waiters {
    /// Waits on, keeping the place in the queue.
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker) {
        let kept = ticket.0.and_then(|number| self.position(number).ok());
        if let Some(position) = kept {
            self.queue[position].1.clone_from(waker);
            return;
        }
        ticket.0 = Some(self.next);
        self.queue.push_back((self.next, waker.clone()));
        self.next += 1;
    }

    /// The first in the queue; the caller wakes it.
    pub(crate) fn next(&mut self) -> Option<Waker> {
        self.queue.pop_front().map(|(_, waker)| waker)
    }

    /// All of them; the caller wakes them.
    pub(crate) fn all(&mut self) -> Vec<Waker> {
        self.queue.drain(..).map(|(_, waker)| waker).collect()
    }

    /// The waiter got what it wanted, or gave up. Returns whether it had been
    /// woken, which whoever gives up must pass on.
    pub(crate) fn leave(&mut self, ticket: &mut Ticket) -> bool {
        let Some(number) = ticket.0.take() else {
            return false;
        };
        match self.position(number) {
            Ok(position) => {
                self.queue.remove(position);
                false
            }
            Err(_) => true,
        }
    }

    fn position(&self, number: u64) -> Result<usize, usize> {
        self.queue
            .binary_search_by_key(&number, |(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::{Ticket, Waiters};

    #[test]
    fn a_waiter_that_was_woken_and_leaves_says_so() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (Ticket::default(), Ticket::default());
        waiters.wait(&mut first, Waker::noop());
        waiters.wait(&mut second, Waker::noop());
        assert!(waiters.next().is_some());
        assert!(waiters.leave(&mut first), "its wake-up must pass on");
        assert!(!waiters.leave(&mut second), "it was never woken");
        assert!(waiters.next().is_none());
    }

    #[test]
    fn waiting_again_keeps_the_place() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (Ticket::default(), Ticket::default());
        waiters.wait(&mut first, Waker::noop());
        waiters.wait(&mut second, Waker::noop());
        waiters.wait(&mut first, Waker::noop());
        waiters.next();
        assert!(waiters.leave(&mut first));
    }

    #[test]
    fn leaving_without_having_waited_is_nothing() {
        assert!(!Waiters::default().leave(&mut Ticket::default()));
    }
}
