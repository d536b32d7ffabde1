//! The trie against a plain list of subscriptions, and against what hostile peers subscribe to.

use super::{Canceled, Subscribed, Subscriptions};
use crate::routing::random::Random;

fn of(topics: &[(usize, &str)]) -> Subscriptions<usize> {
    let mut subscriptions = Subscriptions::new();
    for (key, topic) in topics {
        subscriptions.subscribe(*key, topic.as_bytes());
    }
    subscriptions
}

fn visited(subscriptions: &mut Subscriptions<usize>, topic: &[u8]) -> Vec<usize> {
    let mut keys = Vec::new();
    subscriptions.matches(topic, &mut |key| keys.push(key));
    assert_eq!(subscriptions.matches_any(topic), !keys.is_empty());
    keys
}

/// A trie without a subscription is its root.
#[track_caller]
fn assert_empty(subscriptions: &Subscriptions<usize>) {
    assert_eq!(subscriptions.nodes.len(), 1);
    assert!(subscriptions.nodes[super::ROOT].children.is_empty());
    assert!(subscriptions.links.iter().all(|link| link.octets == 0));
}

/// PB07.
#[test]
fn a_topic_is_for_those_who_want_a_prefix_of_it() {
    let mut subscriptions = of(&[
        (1, "news."),
        (2, "news.sport"),
        (3, "news.weather"),
        (4, "t"),
    ]);
    assert_eq!(visited(&mut subscriptions, b"news.sport"), [1, 2]);
    assert_eq!(visited(&mut subscriptions, b"news.sports"), [1, 2]);
    assert_eq!(visited(&mut subscriptions, b"news.spor"), [1]);
    assert_eq!(visited(&mut subscriptions, b"news"), [0_usize; 0]);
    assert_eq!(visited(&mut subscriptions, b"time"), [4]);
    assert_eq!(visited(&mut subscriptions, b""), [0_usize; 0]);
}

/// SB07.
#[test]
fn the_empty_subscription_is_for_everything() {
    let mut subscriptions = of(&[(1, "")]);
    for topic in [&b""[..], b"\0", b"anything"] {
        assert_eq!(visited(&mut subscriptions, topic), [1]);
    }
    assert_eq!(subscriptions.cancel(1, b""), Canceled::Last);
    assert_eq!(visited(&mut subscriptions, b"anything"), [0_usize; 0]);
    assert_empty(&subscriptions);
}

#[test]
fn a_key_is_visited_once_however_many_of_its_topics_match() {
    let mut subscriptions = of(&[
        (1, ""),
        (2, "a"),
        (1, "ab"),
        (2, "ab"),
        (1, "abc"),
        (1, "abc"),
    ]);
    assert_eq!(visited(&mut subscriptions, b"abcd"), [1, 2]);
    assert_eq!(visited(&mut subscriptions, b"abcd"), [1, 2]);
}

/// SB05.
#[test]
fn a_topic_subscribed_to_twice_wants_two_cancels() {
    let mut subscriptions = of(&[(1, "A"), (1, "A")]);
    assert_eq!(subscriptions.len(1), 1);
    assert_eq!(subscriptions.cancel(1, b"A"), Canceled::Remaining);
    assert_eq!(visited(&mut subscriptions, b"A"), [1]);
    assert_eq!(subscriptions.cancel(1, b"A"), Canceled::Last);
    assert_eq!(visited(&mut subscriptions, b"A"), [0_usize; 0]);
    assert_eq!(subscriptions.cancel(1, b"A"), Canceled::Unknown);
    assert_empty(&subscriptions);
}

/// XP05.
#[test]
fn the_first_and_the_last_of_a_topic_are_told_over_all_keys() {
    let mut subscriptions = of(&[]);
    assert_eq!(subscriptions.subscribe(1, b"ab"), Subscribed::First);
    assert_eq!(subscriptions.subscribe(2, b"ab"), Subscribed::Again);
    assert_eq!(subscriptions.subscribe(2, b"a"), Subscribed::First);
    assert_eq!(subscriptions.cancel(1, b"ab"), Canceled::Remaining);
    assert_eq!(subscriptions.cancel(2, b"ab"), Canceled::Last);
    assert_eq!(subscriptions.cancel(2, b"a"), Canceled::Last);
}

/// BI-56.
#[test]
fn a_cancel_of_what_was_never_subscribed_changes_nothing() {
    let mut subscriptions = of(&[(1, "abc"), (1, "abd")]);
    for topic in [&b""[..], b"a", b"ab", b"abcd", b"x"] {
        assert_eq!(subscriptions.cancel(1, topic), Canceled::Unknown);
        assert_eq!(subscriptions.cancel(9, topic), Canceled::Unknown);
    }
    assert_eq!(subscriptions.cancel(2, b"abc"), Canceled::Unknown);
    assert_eq!(visited(&mut subscriptions, b"abc"), [1]);
}

/// BI-57.
#[test]
fn the_same_topic_many_times_is_one_topic() {
    let mut subscriptions = of(&[]);
    for _ in 0..100_000 {
        subscriptions.subscribe(1, b"topic");
    }
    assert_eq!(subscriptions.nodes.len(), 2);
    assert_eq!((subscriptions.len(1), subscriptions.octets(1)), (1, 5));
    assert_eq!(subscriptions.cancel(1, b"topic"), Canceled::Remaining);
}

/// BI-58: those that stay are among those that go, the last of them at the end of the table.
#[test]
fn what_a_link_with_very_many_topics_made_grow_shrinks_with_its_end() {
    let mut subscriptions = of(&[]);
    let number = |number: u32| number.wrapping_mul(0x9E37_79B1).to_be_bytes();
    for topic in 0..20_000 {
        subscriptions.subscribe(usize::from(topic % 20 == 19), &number(topic));
    }
    assert_eq!(subscriptions.remove(0).count(), 19_000);
    let nodes = subscriptions.nodes.len();
    assert!(subscriptions.nodes.capacity() < 2 * nodes);
    for topic in 0..20_000 {
        let expected: &[usize] = if topic % 20 == 19 { &[1] } else { &[] };
        assert_eq!(visited(&mut subscriptions, &number(topic)), expected);
    }
    let mut topics: Vec<_> = (0..1_000).map(|topic| number(20 * topic + 19)).collect();
    topics.sort_unstable();
    assert!(
        subscriptions
            .topics(1)
            .eq(topics.iter().map(|topic| topic.to_vec()))
    );
    for topic in topics {
        assert_eq!(subscriptions.cancel(1, &topic), Canceled::Last);
    }
    assert_empty(&subscriptions);
}

/// XP06, BI-62.
#[test]
fn a_link_that_ends_ends_the_topics_that_only_it_had() {
    let mut subscriptions = of(&[
        (1, "b"),
        (1, "b"),
        (1, "a"),
        (1, "both"),
        (1, ""),
        (2, "both"),
    ]);
    let ended: Vec<_> = subscriptions.remove(1).collect();
    assert_eq!(ended, [&b""[..], b"a", b"b"]);
    assert_eq!(subscriptions.remove(1).count(), 0);
    assert_eq!(subscriptions.remove(9).count(), 0);
    assert_eq!((subscriptions.len(1), subscriptions.len(2)), (0, 1));
    assert_eq!(visited(&mut subscriptions, b"both"), [2]);
    assert_eq!(subscriptions.remove(2).collect::<Vec<_>>(), [b"both"]);
    assert_empty(&subscriptions);
}

/// SB06.
#[test]
fn the_topics_of_a_key_are_told_each_once() {
    let subscriptions = of(&[(1, "b"), (1, ""), (1, "b"), (2, "other"), (1, "a")]);
    assert_eq!(
        subscriptions.topics(1).collect::<Vec<_>>(),
        [&b""[..], b"a", b"b"]
    );
    assert_eq!(subscriptions.topics(9).count(), 0);
}

/// BI-60: every prefix of a long topic, on a small stack.
#[test]
fn a_long_topic_and_all_its_prefixes_recurse_nowhere() {
    let deep = || {
        let topic = vec![b'x'; 64 << 10];
        let mut subscriptions = of(&[]);
        for length in (0..topic.len()).step_by(97) {
            subscriptions.subscribe(length % 3, &topic[..length]);
        }
        subscriptions.subscribe(3, &topic);
        assert_eq!(visited(&mut subscriptions, &topic), [0, 1, 2, 3]);
        assert_eq!(subscriptions.cancel(3, &topic), Canceled::Last);
        for length in (0..topic.len()).step_by(97) {
            let canceled = subscriptions.cancel(length % 3, &topic[..length]);
            assert_eq!(canceled, Canceled::Last);
        }
        assert_empty(&subscriptions);
    };
    let small = std::thread::Builder::new().stack_size(128 << 10);
    small.spawn(deep).unwrap().join().unwrap();
}

/// BI-58: a publication walks its own path, not the topics of others.
#[test]
fn a_publication_passes_no_more_nodes_than_its_topic_has_octets() {
    let mut subscriptions = of(&[(0, "canary")]);
    for number in 0..20_000_u64 {
        subscriptions.subscribe(1, &number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    }
    let mut place = Some((super::ROOT, &b"canary"[..]));
    let mut passed = 0;
    while let Some((node, rest)) = place {
        passed += 1;
        place = super::step(&subscriptions.nodes, node, rest);
    }
    assert!(passed <= 7);
    assert_eq!(visited(&mut subscriptions, b"canary"), [0]);
    assert_eq!(subscriptions.len(1), 20_000);
    assert_eq!(subscriptions.remove(1).count(), 20_000);
    assert_eq!(subscriptions.nodes.len(), 2);
}

/// The model: each subscription is an entry of a list.
#[derive(Default)]
struct List(Vec<(usize, Vec<u8>)>);

impl List {
    fn has(&self, topic: &[u8]) -> bool {
        self.0.iter().any(|(_, other)| other == topic)
    }

    fn subscribe(&mut self, key: usize, topic: &[u8]) -> Subscribed {
        let had = self.has(topic);
        self.0.push((key, topic.to_vec()));
        if had {
            Subscribed::Again
        } else {
            Subscribed::First
        }
    }

    fn cancel(&mut self, key: usize, topic: &[u8]) -> Canceled {
        let found = self.0.iter().position(|(k, t)| *k == key && t == topic);
        let Some(position) = found else {
            return Canceled::Unknown;
        };
        self.0.remove(position);
        if self.has(topic) {
            Canceled::Remaining
        } else {
            Canceled::Last
        }
    }

    fn remove(&mut self, key: usize) -> Vec<Vec<u8>> {
        let mut topics = self.topics(key);
        self.0.retain(|(other, _)| *other != key);
        topics.retain(|topic| !self.has(topic));
        topics
    }

    fn topics(&self, key: usize) -> Vec<Vec<u8>> {
        let own = self.0.iter().filter(|(other, _)| *other == key);
        let mut topics: Vec<_> = own.map(|(_, topic)| topic.clone()).collect();
        topics.sort();
        topics.dedup();
        topics
    }

    fn visited(&self, topic: &[u8]) -> Vec<usize> {
        let wanted = self
            .0
            .iter()
            .filter(|(_, prefix)| topic.starts_with(prefix));
        let mut keys: Vec<_> = wanted.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

#[test]
fn it_does_what_a_list_of_subscriptions_does() {
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut subscriptions = of(&[]);
        let mut list = List::default();
        for _ in 0..3_000 {
            let key = random.below(5);
            // Two letters and few lengths make forks, prefixes and repeats common.
            let length = random.below(7);
            let topic: Vec<u8> = (0..length).map(|_| b'a' + random.below(2) as u8).collect();
            match random.below(20) {
                0 => assert_eq!(
                    subscriptions.remove(key).collect::<Vec<_>>(),
                    list.remove(key)
                ),
                1..9 => assert_eq!(subscriptions.cancel(key, &topic), list.cancel(key, &topic)),
                _ => assert_eq!(
                    subscriptions.subscribe(key, &topic),
                    list.subscribe(key, &topic)
                ),
            }
            let mut keys = visited(&mut subscriptions, &topic);
            keys.sort_unstable();
            assert_eq!(keys, list.visited(&topic));
            let topics = list.topics(key);
            assert_eq!(subscriptions.len(key), topics.len());
            assert_eq!(subscriptions.octets(key), topics.concat().len());
            assert_eq!(subscriptions.topics(key).collect::<Vec<_>>(), topics);
        }
        for key in 0..5 {
            assert_eq!(
                subscriptions.remove(key).collect::<Vec<_>>(),
                list.remove(key)
            );
        }
        assert_empty(&subscriptions);
    }
}

/// O3: what 5,000 topics took is given back with the peer that wanted them.
#[test]
fn whoever_goes_with_most_topics_takes_their_memory_along() {
    let mut subscriptions = of(&[(1, "kept")]);
    for number in 0..5_000 {
        subscriptions.subscribe(0, format!("topic {number}").as_bytes());
    }
    assert_eq!(subscriptions.remove(0).count(), 5_000);
    assert!(subscriptions.nodes.capacity() < 100);
    assert_eq!(visited(&mut subscriptions, b"kept"), [1]);
}
