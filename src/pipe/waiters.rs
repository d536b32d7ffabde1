//! Who waits for a message or for room, first come first served.

use std::collections::VecDeque;
use std::task::Waker;

/// The tasks that wait at one side of a socket.
///
/// Each waiter holds a ticket. A wake-up takes it off the queue; a waiter that
/// was woken and gives up instead of looking passes the wake-up on.
#[derive(Default)]
pub(crate) struct Waiters {
    /// Ascending by number.
    queue: VecDeque<Waiter>,
    next: u64,
    /// Attended tickets that were woken and have not waited since.
    on_duty: usize,
}

struct Waiter {
    number: u64,
    waker: Waker,
    kind: Kind,
}

/// What its holder does when it is woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// It takes one thing.
    #[default]
    Once,
    /// Perhaps nothing.
    Standing,
    /// It takes one thing after the other, until it waits again or leaves.
    Attended,
}

/// A place in the queue.
#[derive(Default, Debug)]
pub(crate) struct Ticket {
    /// `None`: not waiting.
    number: Option<u64>,
    kind: Kind,
}

impl Ticket {
    /// The ticket of one that keeps its place between polls, and may never be
    /// polled again: it is woken beside the others and not instead of them.
    pub(crate) fn standing() -> Self {
        Self {
            number: None,
            kind: Kind::Standing,
        }
    }

    /// The ticket of one that, once woken, takes what there is until it waits again or leaves.
    pub(crate) fn attended() -> Self {
        Self {
            number: None,
            kind: Kind::Attended,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.number.is_some()
    }

    /// Whether one that waited, and has something now, is to leave: it takes no more.
    pub(crate) fn leaves(&self) -> bool {
        self.is_waiting() && self.kind != Kind::Attended
    }
}

impl Waiters {
    /// Waits on, keeping the place in the queue.
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker) {
        let kept = ticket.number.and_then(|number| self.position(number).ok());
        if let Some(position) = kept {
            self.queue[position].waker.clone_from(waker);
            return;
        }
        if ticket.is_waiting() && ticket.kind == Kind::Attended {
            self.on_duty -= 1;
        }
        ticket.number = Some(self.next);
        self.queue.push_back(Waiter {
            number: self.next,
            waker: waker.clone(),
            kind: ticket.kind,
        });
        self.next += 1;
    }

    /// As [`wait`](Self::wait), and one that was woken for nothing has its place again. For
    /// those who all wait for the same: elsewhere it would keep others from what is theirs.
    pub(crate) fn wait_in_turn(&mut self, ticket: &mut Ticket, waker: &Waker) {
        if let Some(number) = ticket.number
            && let Err(position) = self.position(number)
        {
            let waiter = Waiter {
                number,
                waker: waker.clone(),
                kind: ticket.kind,
            };
            debug_assert!(
                ticket.kind != Kind::Attended,
                "it is not woken for one thing"
            );
            self.queue.insert(position, waiter);
        }
        self.wait(ticket, waker);
    }

    /// The first in the queue, and those with standing tickets before it; the
    /// caller wakes them all. With `None` it can count on nobody but one who is
    /// [on duty](Self::are_on_duty).
    pub(crate) fn next(&mut self, standing: &mut Vec<Waker>) -> Option<Waker> {
        while let Some(waiter) = self.queue.pop_front() {
            self.on_duty += usize::from(waiter.kind == Kind::Attended);
            if waiter.kind != Kind::Standing {
                return Some(waiter.waker);
            }
            standing.push(waiter.waker);
        }
        None
    }

    /// Whether one that was woken has not yet taken all there is, and is going to.
    pub(crate) fn are_on_duty(&self) -> bool {
        self.on_duty > 0
    }

    /// Whether one that waited was woken, and is in the queue no more.
    pub(crate) fn was_woken(&self, ticket: &Ticket) -> bool {
        let number = ticket.number;
        ticket.kind != Kind::Standing && number.is_some_and(|number| self.position(number).is_err())
    }

    /// As [`next`](Self::next), of those behind this ticket, which stays.
    pub(crate) fn next_behind(&mut self, ticket: &Ticket, wakers: &mut Vec<Waker>) {
        let Some(Ok(place)) = ticket.number.map(|number| self.position(number)) else {
            return;
        };
        while let Some(waiter) = self.queue.remove(place + 1) {
            self.on_duty += usize::from(waiter.kind == Kind::Attended);
            wakers.push(waiter.waker);
            if waiter.kind != Kind::Standing {
                return;
            }
        }
    }

    /// All of them; the caller wakes them.
    pub(crate) fn all(&mut self) -> Vec<Waker> {
        let attended = |waiter: &&Waiter| waiter.kind == Kind::Attended;
        self.on_duty += self.queue.iter().filter(attended).count();
        self.queue.drain(..).map(|waiter| waiter.waker).collect()
    }

    /// The waiter got what it wanted, or gave up. Returns whether it had been
    /// woken instead of another, which whoever gives up must pass on.
    pub(crate) fn leave(&mut self, ticket: &mut Ticket) -> bool {
        let Some(number) = ticket.number.take() else {
            return false;
        };
        match self.position(number) {
            Ok(position) => {
                self.queue.remove(position);
                false
            }
            Err(_) => {
                self.on_duty -= usize::from(ticket.kind == Kind::Attended);
                ticket.kind != Kind::Standing
            }
        }
    }

    fn position(&self, number: u64) -> Result<usize, usize> {
        self.queue
            .binary_search_by_key(&number, |waiter| waiter.number)
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
        assert!(waiters.next(&mut Vec::new()).is_some());
        assert!(waiters.leave(&mut first), "its wake-up must pass on");
        assert!(!waiters.leave(&mut second), "it was never woken");
        assert!(waiters.next(&mut Vec::new()).is_none());
    }

    #[test]
    fn one_that_cannot_use_its_wake_up_gives_it_to_those_behind_alone() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (Ticket::default(), Ticket::default());
        waiters.wait(&mut first, Waker::noop());
        waiters.wait(&mut second, Waker::noop());
        assert!(!waiters.was_woken(&first));
        waiters.next(&mut Vec::new());
        assert!(waiters.was_woken(&first));
        waiters.wait_in_turn(&mut first, Waker::noop());
        let mut wakers = Vec::new();
        waiters.next_behind(&first, &mut wakers);
        assert_eq!(wakers.len(), 1);
        assert!(waiters.was_woken(&second));
        waiters.wait_in_turn(&mut second, Waker::noop());
        waiters.next_behind(&second, &mut wakers);
        assert_eq!(wakers.len(), 1, "the first is not woken again");
    }

    #[test]
    fn one_who_attends_is_on_duty_from_its_wake_up_until_it_waits_or_leaves() {
        let mut waiters = Waiters::default();
        let mut attended = Ticket::attended();
        for leaves in [false, true] {
            waiters.wait(&mut attended, Waker::noop());
            assert!(!waiters.are_on_duty());
            assert!(waiters.next(&mut Vec::new()).is_some());
            assert!(waiters.are_on_duty());
            assert!(!attended.leaves(), "it takes more");
            match leaves {
                false => waiters.wait(&mut attended, Waker::noop()),
                true => assert!(waiters.leave(&mut attended), "its wake-up must pass on"),
            }
            assert!(!waiters.are_on_duty());
        }
    }

    #[test]
    fn waiting_again_keeps_the_place() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (Ticket::default(), Ticket::default());
        waiters.wait(&mut first, Waker::noop());
        waiters.wait(&mut second, Waker::noop());
        waiters.wait(&mut first, Waker::noop());
        waiters.next(&mut Vec::new());
        assert!(waiters.leave(&mut first));
    }

    #[test]
    fn waiting_in_turn_one_that_was_woken_has_its_place_again() {
        for in_turn in [true, false] {
            let mut waiters = Waiters::default();
            let (mut first, mut second) = (Ticket::default(), Ticket::default());
            waiters.wait(&mut first, Waker::noop());
            waiters.wait(&mut second, Waker::noop());
            waiters.next(&mut Vec::new());
            match in_turn {
                true => waiters.wait_in_turn(&mut first, Waker::noop()),
                false => waiters.wait(&mut first, Waker::noop()),
            }
            waiters.next(&mut Vec::new());
            assert_eq!(waiters.leave(&mut first), in_turn);
            assert_eq!(waiters.leave(&mut second), !in_turn);
        }
    }

    #[test]
    fn a_standing_waiter_is_woken_beside_the_next_and_passes_nothing_on() {
        let mut waiters = Waiters::default();
        let (mut stream, mut task) = (Ticket::standing(), Ticket::default());
        waiters.wait(&mut stream, Waker::noop());
        waiters.wait(&mut task, Waker::noop());
        let mut standing = Vec::new();
        assert!(waiters.next(&mut standing).is_some());
        assert_eq!(standing.len(), 1);
        assert!(waiters.leave(&mut task));
        assert!(!waiters.leave(&mut stream));
    }

    #[test]
    fn leaving_without_having_waited_is_nothing() {
        assert!(!Waiters::default().leave(&mut Ticket::default()));
    }
}
