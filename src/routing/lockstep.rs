//! One request at a time: whom the last one went to, and whether its reply is still wanted.

/// The lockstep of a REQ (28/REQREP).
///
/// ```text
///            begin             answered
///  Idle ───────────▶ Waiting ───────────▶ Answered ──settle──▶ Idle
///   ▲                 │   │ lost
///   │ reply, lost     │   └─────────────▶ Lost ──────settle──▶ Idle
///   └──── GivenUp ◀───┘ give up
/// ```
///
/// A request that was given up keeps its peer in mind: what that peer still
/// answers is not taken for the answer to another question.
#[derive(Debug)]
pub(crate) struct Lockstep<K> {
    state: State<K>,
    /// The id of the last request, where requests carry one.
    id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State<K> {
    Idle,
    Waiting(K),
    GivenUp(K),
    Answered,
    Lost,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its reply was taken in.
    Answered,
    /// Its peer went without a reply.
    Lost,
}

impl<K: Copy + Eq> Lockstep<K> {
    /// Nothing was asked yet. Ids count from `start`, best a random number: a
    /// reply from an earlier life shall not answer a question of this one.
    pub(crate) fn new(start: u32) -> Self {
        Self {
            state: State::Idle,
            id: start,
        }
    }

    /// Whether a request waits for its reply, or its end was not yet told.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle | State::GivenUp(_))
    }

    /// Draws the id of the next request.
    pub(crate) fn draw(&mut self) -> u32 {
        self.id = self.id.wrapping_add(1);
        self.id
    }

    /// A request went to this peer.
    pub(crate) fn begin(&mut self, key: K) {
        self.state = State::Waiting(key);
    }

    /// Whether a reply of this peer is the one that is waited for. With an id
    /// it must be that of the last request. A reply that is accepted, or that
    /// nobody wants any more, ends the lockstep with its peer.
    pub(crate) fn accept(&mut self, key: K, id: Option<u32>) -> bool {
        if id.is_some_and(|id| id != self.id) {
            return false;
        }
        match self.state {
            State::Waiting(asked) if asked == key => {
                self.state = State::Answered;
                true
            }
            State::GivenUp(asked) if asked == key => {
                self.state = State::Idle;
                false
            }
            _ => false,
        }
    }

    /// The peer is gone, and the request with it.
    pub(crate) fn lose(&mut self, key: K) {
        match self.state {
            State::Waiting(asked) if asked == key => self.state = State::Lost,
            State::GivenUp(asked) if asked == key => self.state = State::Idle,
            _ => {}
        }
    }

    /// Nobody waits for the reply any more. Returns whether it is there already.
    pub(crate) fn give_up(&mut self) -> bool {
        match self.state {
            State::Waiting(key) => {
                self.state = State::GivenUp(key);
                false
            }
            State::Answered => {
                self.state = State::Idle;
                true
            }
            State::Lost => {
                self.state = State::Idle;
                false
            }
            State::Idle | State::GivenUp(_) => false,
        }
    }

    /// The peer that owes a reply that nobody wants. It is forgotten with this.
    pub(crate) fn take_given_up(&mut self) -> Option<K> {
        let State::GivenUp(key) = self.state else {
            return None;
        };
        self.state = State::Idle;
        Some(key)
    }

    /// Says once how a request ended; `None` where it has not.
    pub(crate) fn settle(&mut self) -> Option<End> {
        let end = match self.state {
            State::Answered => End::Answered,
            State::Lost => End::Lost,
            _ => return None,
        };
        self.state = State::Idle;
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Lockstep};

    /// RQ01, RQ06.
    #[test]
    fn only_the_peer_that_was_asked_answers() {
        let mut lockstep = Lockstep::new(0);
        assert!(!lockstep.accept(1, None), "nothing was asked");
        lockstep.begin(1);
        assert!(!lockstep.accept(2, None));
        assert_eq!(lockstep.settle(), None);
        assert!(lockstep.accept(1, None));
        assert!(!lockstep.accept(1, None), "one reply to one request");
        assert_eq!(lockstep.settle(), Some(End::Answered));
        assert_eq!(lockstep.settle(), None);
    }

    /// A9.
    #[test]
    fn a_late_reply_settles_what_was_given_up_and_answers_nothing() {
        let mut lockstep = Lockstep::new(0);
        lockstep.begin(1);
        assert!(!lockstep.give_up());
        assert!(!lockstep.accept(2, None));
        assert!(!lockstep.accept(1, None));
        assert_eq!(lockstep.take_given_up(), None, "it owes nothing any more");
    }

    #[test]
    fn whoever_was_asked_in_vain_is_named_once() {
        let mut lockstep = Lockstep::new(0);
        lockstep.begin(1);
        lockstep.give_up();
        assert_eq!(lockstep.take_given_up(), Some(1));
        assert_eq!(lockstep.take_given_up(), None);
        assert!(!lockstep.accept(1, None));
    }

    #[test]
    fn a_reply_that_nobody_took_is_there_to_be_thrown_away() {
        let mut lockstep = Lockstep::new(0);
        lockstep.begin(1);
        assert!(lockstep.accept(1, None));
        assert!(lockstep.give_up());
        assert_eq!(lockstep.settle(), None);
    }

    #[test]
    fn a_peer_that_goes_takes_only_its_own_request_along() {
        let mut lockstep = Lockstep::new(0);
        lockstep.begin(1);
        lockstep.lose(2);
        assert_eq!(lockstep.settle(), None);
        lockstep.lose(1);
        assert_eq!(lockstep.settle(), Some(End::Lost));
    }

    /// BI-69.
    #[test]
    fn an_id_of_an_earlier_request_answers_nothing() {
        let mut lockstep = Lockstep::new(u32::MAX);
        let first = lockstep.draw();
        lockstep.begin(1);
        lockstep.give_up();
        let second = lockstep.draw();
        lockstep.begin(1);
        assert!(!lockstep.accept(1, Some(first)));
        assert!(lockstep.accept(1, Some(second)));
    }
}
