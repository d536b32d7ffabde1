//! What waits to be written to a peer that gets only the newest message of each key.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;

use super::incoming::footprint;
use super::marks::Mark;
use super::receipt::Fate;
use crate::error::GivenUp;
use crate::message::Message;

/// Messages as they are, one for each key, in the order they came.
#[derive(Default)]
pub(super) struct Keyed {
    /// By number; the numbers grow.
    messages: BTreeMap<u64, Entry>,
    numbers: HashMap<Bytes, u64>,
    next: u64,
    /// What the messages count against a limit.
    octets: usize,
}

struct Entry {
    key: Bytes,
    message: Message,
    mark: Option<Mark>,
}

impl Entry {
    fn expires(&self) -> Option<Instant> {
        self.mark.as_ref()?.expires
    }
}

impl Keyed {
    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Before this nothing expires.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.messages.values().filter_map(Entry::expires).min()
    }

    /// Gives up the message of this key for a newer one. Returns whether there was one.
    pub(super) fn remove(&mut self, key: &Bytes) -> bool {
        let number = self.numbers.get(key).copied();
        number.is_some_and(|number| self.give_up(number, GivenUp::Replaced))
    }

    /// Gives up what has waited too long. Returns how many.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let is_over = |entry: &Entry| entry.expires().is_some_and(|expires| expires <= now);
        let expired = self.messages.iter().filter(|(_, entry)| is_over(entry));
        let expired: Vec<u64> = expired.map(|(number, _)| *number).collect();
        for &number in &expired {
            self.give_up(number, GivenUp::Expired);
        }
        expired.len()
    }

    /// Under the socket's lock. Returns whether there was such a message.
    fn give_up(&mut self, number: u64, reason: GivenUp) -> bool {
        let Some(entry) = self.messages.remove(&number) else {
            return false;
        };
        self.numbers.remove(&entry.key);
        self.octets -= footprint(&entry.message);
        if let Some(slip) = entry.mark.and_then(|mark| mark.slip) {
            slip.end_locked(Fate::GivenUp(reason));
        }
        true
    }

    /// Puts a message behind all others; the caller has removed the one of its key.
    pub(super) fn push(&mut self, key: Bytes, message: Message, mark: Option<Mark>) {
        debug_assert!(!self.numbers.contains_key(&key), "one message for each key");
        self.octets += footprint(&message);
        self.numbers.insert(key.clone(), self.next);
        let entry = Entry { key, message, mark };
        self.messages.insert(self.next, entry);
        self.next += 1;
    }

    /// All messages and their marks, in the order they came.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Message, Option<Mark>)> + use<> {
        self.numbers.clear();
        self.octets = 0;
        let messages = std::mem::take(&mut self.messages);
        messages
            .into_values()
            .map(|entry| (entry.message, entry.mark))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::{Keyed, Mark};
    use crate::message::Message;

    /// C4.
    #[test]
    fn the_newest_of_each_key_is_kept_in_the_order_they_came() {
        let mut keyed = Keyed::default();
        for (key, text, replaces) in [
            ("a", "a1", false),
            ("b", "b1", false),
            ("a", "a2", true),
            ("c", "c1", false),
            ("a", "a3", true),
        ] {
            let key = Bytes::from(key);
            assert_eq!(keyed.remove(&key), replaces, "{text}");
            keyed.push(key, Message::from(text), None);
        }
        assert_eq!((keyed.messages(), keyed.octets()), (3, 3 * (2 + 64)));
        let left: Vec<_> = keyed.drain().map(|(message, _)| message).collect();
        assert_eq!(left, ["b1", "c1", "a3"].map(Message::from));
        assert_eq!((keyed.messages(), keyed.octets()), (0, 0));
        assert!(!keyed.remove(&Bytes::from("a")));
    }

    /// C3.
    #[test]
    fn what_waits_too_long_is_given_up_and_its_key_is_free() {
        let now = Instant::now();
        let mark = |seconds| {
            let expires = Some(now + Duration::from_secs(seconds));
            Some(Mark {
                expires,
                slip: None,
            })
        };
        let mut keyed = Keyed::default();
        keyed.push(Bytes::from("a"), Message::from("a"), mark(2));
        keyed.push(Bytes::from("b"), Message::from("b"), mark(1));
        keyed.push(Bytes::from("c"), Message::from("c"), None);
        assert_eq!(keyed.earliest(), Some(now + Duration::from_secs(1)));
        assert_eq!(keyed.expire(now + Duration::from_secs(1)), 1);
        assert!(!keyed.remove(&Bytes::from("b")));
        assert_eq!((keyed.messages(), keyed.octets()), (2, 2 * (1 + 64)));
    }
}
