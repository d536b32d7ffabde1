//! What waits to be written to a peer that gets only the newest message of each key.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::incoming::footprint;
use crate::message::Message;

/// Messages as they are, one for each key, in the order they came.
#[derive(Default)]
pub(super) struct Keyed {
    /// By number; the numbers grow.
    messages: BTreeMap<u64, (Bytes, Message)>,
    numbers: HashMap<Bytes, u64>,
    next: u64,
    /// What the messages count against a limit.
    octets: usize,
}

impl Keyed {
    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Gives up the message of this key. Returns whether there was one.
    pub(super) fn remove(&mut self, key: &Bytes) -> bool {
        let number = self.numbers.remove(key);
        let removed = number.and_then(|number| self.messages.remove(&number));
        if let Some((_, message)) = &removed {
            self.octets -= footprint(message);
        }
        removed.is_some()
    }

    /// Puts a message behind all others; the caller has removed the one of its key.
    pub(super) fn push(&mut self, key: Bytes, message: Message) {
        debug_assert!(!self.numbers.contains_key(&key), "one message for each key");
        self.octets += footprint(&message);
        self.numbers.insert(key.clone(), self.next);
        self.messages.insert(self.next, (key, message));
        self.next += 1;
    }

    /// All messages, in the order they came.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Message> + use<> {
        self.numbers.clear();
        self.octets = 0;
        let messages = std::mem::take(&mut self.messages);
        messages.into_values().map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Keyed;
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
            keyed.push(key, Message::from(text));
        }
        assert_eq!((keyed.messages(), keyed.octets()), (3, 3 * (2 + 64)));
        let left: Vec<_> = keyed.drain().collect();
        assert_eq!(left, ["b1", "c1", "a3"].map(Message::from));
        assert_eq!((keyed.messages(), keyed.octets()), (0, 0));
        assert!(!keyed.remove(&Bytes::from("a")));
    }
}
