//! The trie of subscriptions against a list of them.

use std::collections::BTreeMap;

use crate::routing::{Canceled, Subscribed, Subscriptions};

/// How many peers there are.
const KEYS: usize = 4;

/// For each key, how often it wants each topic.
#[derive(Default)]
struct List([BTreeMap<Vec<u8>, usize>; KEYS]);

/// What peers want, one step after the other: the trie does what a list does.
///
/// A step is an octet that says what is done (its three lowest bits: subscribe, cancel, leave or look
/// into the books), by whom (the next two) and with how many octets of topic (the last three), and
/// that topic.
pub fn subscriptions(mut octets: &[u8]) {
    let mut trie = Subscriptions::new();
    let mut list = List::default();
    while let Some((step, rest)) = octets.split_first() {
        let key = usize::from(step >> 3) % KEYS;
        let (topic, rest) = rest.split_at(usize::from(step >> 5).min(rest.len()));
        octets = rest;
        match step & 7 {
            0..=2 => assert_eq!(trie.subscribe(key, topic), list.subscribe(key, topic)),
            3 | 4 => assert_eq!(trie.cancel(key, topic), list.cancel(key, topic)),
            5 => assert!(trie.remove(key).eq(list.remove(key))),
            // Not after each step, for it takes longer than any of them.
            _ => check_books(&trie, &list, key),
        }
        check_match(&mut trie, &list, topic);
    }
    for key in 0..KEYS {
        check_books(&trie, &list, key);
        assert!(trie.remove(key).eq(list.remove(key)));
    }
    assert_eq!((trie.total(), trie.total_octets()), (0, 0));
    assert!(!trie.matches_any(b""));
}

/// Who wants a topic is visited once, the shorter prefix first.
fn check_match(trie: &mut Subscriptions<usize>, list: &List, topic: &[u8]) {
    let mut visited = Vec::new();
    trie.matches(topic, &mut |key| visited.push(key));
    assert_eq!(visited, list.matches(topic));
    assert_eq!(trie.matches_any(topic), !visited.is_empty());
}

fn check_books(trie: &Subscriptions<usize>, list: &List, key: usize) {
    let topics = || list.0[key].keys();
    assert!(trie.topics(key).eq(topics().cloned()));
    assert_eq!(trie.len(key), topics().count());
    assert_eq!(trie.octets(key), topics().map(Vec::len).sum::<usize>());
    let all = || list.0.iter().flat_map(BTreeMap::keys);
    assert_eq!(trie.total(), all().count());
    assert_eq!(trie.total_octets(), all().map(Vec::len).sum::<usize>());
}

impl List {
    fn has(&self, topic: &[u8]) -> bool {
        self.0.iter().any(|topics| topics.contains_key(topic))
    }

    fn subscribe(&mut self, key: usize, topic: &[u8]) -> Subscribed {
        let had = self.has(topic);
        *self.0[key].entry(topic.to_vec()).or_default() += 1;
        match had {
            true => Subscribed::Again,
            false => Subscribed::First,
        }
    }

    fn cancel(&mut self, key: usize, topic: &[u8]) -> Canceled {
        let Some(count) = self.0[key].get_mut(topic) else {
            return Canceled::Unknown;
        };
        *count -= 1;
        if *count == 0 {
            self.0[key].remove(topic);
        }
        match self.has(topic) {
            true => Canceled::Remaining,
            false => Canceled::Last,
        }
    }

    fn remove(&mut self, key: usize) -> Vec<Vec<u8>> {
        let topics = std::mem::take(&mut self.0[key]);
        let ended = topics.into_keys().filter(|topic| !self.has(topic));
        ended.collect()
    }

    fn matches(&self, topic: &[u8]) -> Vec<usize> {
        let mut keys = Vec::new();
        for length in 0..=topic.len() {
            for (key, topics) in self.0.iter().enumerate() {
                if topics.contains_key(&topic[..length]) && !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }
}
