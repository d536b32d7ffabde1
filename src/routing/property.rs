//! Properties of the routing policies: each against the plainest thing that does the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    Canceled, End, FairQueue, Identities, Lockstep, RoundRobin, Subscribed, Subscriptions,
};
use crate::options::Identity;

/// What can happen to a rotation.
#[derive(Clone, Debug)]
enum Turn {
    Add(u8),
    Remove(u8),
    Activate(u8),
    Deactivate(u8),
    Advance,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        (0_u8..8).prop_map(Turn::Add),
        (0_u8..8).prop_map(Turn::Remove),
        (0_u8..8).prop_map(Turn::Activate),
        (0_u8..8).prop_map(Turn::Deactivate),
        Just(Turn::Advance),
    ];
    vec(turn, 0..60)
}

/// A rotation after these turns, with all keys that are known and those that are active, in order.
fn rotation(turns: &[Turn]) -> (RoundRobin<u8>, BTreeSet<u8>, VecDeque<u8>) {
    let (mut peers, mut known, mut active) = (RoundRobin::new(), BTreeSet::new(), VecDeque::new());
    for turn in turns {
        match *turn {
            Turn::Add(key) => {
                peers.add(key);
                if known.insert(key) {
                    active.push_back(key);
                }
            }
            Turn::Remove(key) => {
                assert_eq!(peers.remove(key), known.remove(&key));
                active.retain(|other| *other != key);
            }
            Turn::Activate(key) => {
                peers.activate(key);
                if known.contains(&key) && !active.contains(&key) {
                    active.push_back(key);
                }
            }
            Turn::Deactivate(key) => {
                peers.deactivate(key);
                active.retain(|other| *other != key);
            }
            Turn::Advance => {
                peers.advance();
                let first = active.pop_front();
                active.extend(first);
            }
        }
    }
    (peers, known, active)
}

type Topic = Vec<u8>;

/// Topics of few letters, so that one is often the beginning of another.
fn topic() -> impl Strategy<Value = Topic> {
    vec(prop_oneof![Just(b'a'), Just(b'b')], 0..5)
}

/// Subscriptions (and cancels) of few keys.
fn requests() -> impl Strategy<Value = Vec<(bool, usize, Topic)>> {
    let subscribe = prop_oneof![3 => Just(true), 2 => Just(false)];
    vec((subscribe, 0_usize..4, topic()), 0..80)
}

/// How often each key has each topic.
type Counts = BTreeMap<(usize, Topic), usize>;

/// A tree after these requests, and the counts.
fn subscribed(requests: &[(bool, usize, Topic)]) -> (Subscriptions<usize>, Counts) {
    let (mut tree, mut counts) = (Subscriptions::new(), Counts::new());
    for (subscribe, key, topic) in requests {
        let entry = (*key, topic.clone());
        if *subscribe {
            tree.subscribe(*key, topic);
            *counts.entry(entry).or_default() += 1;
        } else {
            tree.cancel(*key, topic);
            if let Some(count) = counts.get_mut(&entry) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&entry);
                }
            }
        }
    }
    (tree, counts)
}

fn visited(tree: &mut Subscriptions<usize>, topic: &[u8]) -> Vec<usize> {
    let mut keys = Vec::new();
    tree.matches(topic, &mut |key| keys.push(key));
    keys
}

fn somebody_has(counts: &Counts, topic: &[u8]) -> bool {
    counts.keys().any(|(_, other)| other == topic)
}

proptest! {
    #![proptest_config(crate::property::cases(64))]

    /// PS05, DL06.
    #[test]
    fn in_a_round_each_active_peer_has_one_turn(turns in turns()) {
        let (mut peers, _, active) = rotation(&turns);
        let mut round = VecDeque::new();
        for _ in 0..active.len() {
            round.extend(peers.current());
            peers.advance();
        }
        prop_assert_eq!(round, active);
    }

    #[test]
    fn a_rotation_counts_who_is_active_and_knows_who_is_not(turns in turns()) {
        let (peers, known, active) = rotation(&turns);
        prop_assert_eq!(peers.active(), active.len());
        prop_assert_eq!(peers.current(), active.front().copied());
        for key in 0..8 {
            prop_assert_eq!(peers.contains(key), known.contains(&key));
        }
    }

    #[test]
    fn who_has_no_room_has_no_turn_until_it_has_some(turns in turns(), key in 0_u8..8) {
        let (mut peers, known, _) = rotation(&turns);
        peers.deactivate(key);
        for _ in 0..10 {
            prop_assert_ne!(peers.current(), Some(key));
            peers.advance();
        }
        peers.activate(key);
        let turns = (0..10).filter(|_| {
            let current = peers.current();
            peers.advance();
            current == Some(key)
        });
        prop_assert_eq!(turns.count() > 0, known.contains(&key));
    }

    #[test]
    fn who_is_forgotten_has_no_turn_any_more(turns in turns(), key in 0_u8..8) {
        let (mut peers, ..) = rotation(&turns);
        peers.remove(key);
        peers.activate(key);
        for _ in 0..10 {
            prop_assert_ne!(peers.current(), Some(key));
            peers.advance();
        }
    }

    /// Whoever has much to say does not keep the others from being read.
    #[test]
    fn those_who_are_read_in_turn_are_never_more_than_one_message_apart(
        backlogs in vec(0_u32..30, 1..8)
    ) {
        let mut left = backlogs.clone();
        let mut queue = FairQueue::new();
        (0..left.len()).filter(|key| left[*key] > 0).for_each(|key| queue.push(key));
        while let Some(key) = queue.current() {
            left[key] -= 1;
            if left[key] > 0 {
                queue.advance();
            } else {
                queue.leave();
            }
            let read = |key: usize| backlogs[key] - left[key];
            let waiting = (0..left.len()).filter(|key| left[*key] > 0).map(read);
            let (least, most) = waiting.fold((u32::MAX, 0), |(least, most), read| {
                (least.min(read), most.max(read))
            });
            prop_assert!(least == u32::MAX || most - least <= 1);
        }
        prop_assert!(left.iter().all(|left| *left == 0));
    }

    #[test]
    fn who_is_taken_out_of_the_queue_is_not_read_and_the_others_keep_their_order(
        order in Just((0_u8..10).collect::<Vec<_>>()).prop_shuffle(), gone in vec(0_u8..10, 0..5)
    ) {
        let mut queue = FairQueue::new();
        order.iter().for_each(|key| queue.push(*key));
        gone.iter().for_each(|key| queue.remove(*key));
        let mut left = Vec::new();
        while let Some(key) = queue.current() {
            left.push(key);
            queue.leave();
        }
        let wanted: Vec<u8> = order.into_iter().filter(|key| !gone.contains(key)).collect();
        prop_assert_eq!(left, wanted);
        prop_assert!(queue.is_empty() && queue.current().is_none());
    }

    #[test]
    fn names_that_are_drawn_are_of_nobody_else_and_of_no_peers_making(
        start in any::<u32>(), count in 1_u32..100
    ) {
        let mut identities = Identities::new(start);
        let drawn: Vec<_> = (0..count).map(|key| identities.draw(key)).collect();
        for (key, name) in (0_u32..).zip(&drawn) {
            prop_assert_eq!(identities.lookup(name), Some(key));
            prop_assert_eq!((name.len(), name[0]), (5, 0));
            prop_assert!(Identity::new(name.clone()).is_err());
        }
    }

    /// RT04.
    #[test]
    fn a_name_has_one_owner_who_keeps_it_until_it_is_given_up_or_handed_over(
        steps in vec((0_u8..3, 1_u8..5, 0_u32..100), 0..60)
    ) {
        let mut identities = Identities::new(0);
        let mut owners: HashMap<u8, u32> = HashMap::new();
        for (what, name, key) in steps {
            let identity = Identity::new(vec![name]).expect("a name");
            match what {
                0 => {
                    let taken = owners.contains_key(&name);
                    prop_assert_eq!(identities.insert(&identity, key).is_err(), taken);
                    owners.entry(name).or_insert(key);
                }
                1 => prop_assert_eq!(identities.replace(&identity, key), owners.insert(name, key)),
                _ => prop_assert_eq!(identities.remove(&[name]), owners.remove(&name)),
            }
            for name in 1..5 {
                prop_assert_eq!(identities.lookup(&[name]), owners.get(&name).copied());
            }
        }
    }

    /// RQ06: whatever peers say, a request has one end, and only the peer that was asked gives it.
    #[test]
    fn a_request_ends_once_and_by_the_peer_that_was_asked(
        steps in vec((0_u8..5, 0_u8..3), 0..80)
    ) {
        let mut lockstep = Lockstep::new(7);
        let (mut asked, mut ended) = (None, None);
        for (what, peer) in steps {
            match what {
                0 if !lockstep.is_busy() => {
                    lockstep.begin(peer);
                    (asked, ended) = (Some(peer), None);
                }
                0 => {}
                1 => {
                    let wanted = asked == Some(peer) && lockstep.is_busy();
                    prop_assert_eq!(lockstep.accept(peer, None), wanted);
                    if wanted {
                        (asked, ended) = (None, Some(End::Answered));
                    }
                }
                2 => {
                    let busy = lockstep.is_busy();
                    lockstep.lose(peer);
                    if asked == Some(peer) && busy {
                        (asked, ended) = (None, Some(End::Lost));
                    }
                }
                3 => {
                    prop_assert_eq!(lockstep.give_up(), ended == Some(End::Answered));
                    (asked, ended) = (None, None);
                    prop_assert!(!lockstep.is_busy());
                }
                _ => prop_assert_eq!(lockstep.settle(), ended.take()),
            }
            prop_assert_eq!(lockstep.is_busy(), asked.is_some() || ended.is_some());
        }
    }

    /// A reply to an earlier request answers no later one.
    #[test]
    fn with_ids_only_the_last_request_is_answered(start in any::<u32>(), requests in 1_usize..20) {
        let mut lockstep = Lockstep::new(start);
        let mut ids = Vec::new();
        for _ in 0..requests {
            ids.push(lockstep.draw());
            lockstep.begin(1_u8);
            lockstep.give_up();
        }
        lockstep.begin(1);
        let last = ids.pop().expect("one at least");
        for late in ids {
            prop_assert!(!lockstep.accept(1, Some(late)));
        }
        prop_assert!(!lockstep.accept(2, Some(last)));
        prop_assert!(lockstep.accept(1, Some(last)));
    }

    /// PB07, SB07.
    #[test]
    fn a_publication_is_for_those_who_have_a_topic_that_it_begins_with(
        requests in requests(), topic in topic()
    ) {
        let (mut tree, counts) = subscribed(&requests);
        let wanting = counts.keys().filter(|(_, prefix)| topic.starts_with(prefix));
        let wanted: BTreeSet<usize> = wanting.map(|(key, _)| *key).collect();
        let keys = visited(&mut tree, &topic);
        prop_assert_eq!(keys.len(), wanted.len(), "each once");
        prop_assert_eq!(tree.matches_any(&topic), !wanted.is_empty());
        prop_assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), wanted);
    }

    /// XP04, XP05.
    #[test]
    fn the_first_who_wants_a_topic_and_the_last_are_told_apart(requests in requests()) {
        for end in 0..requests.len() {
            let (mut tree, counts) = subscribed(&requests[..end]);
            let (subscribe, key, topic) = &requests[end];
            let before = somebody_has(&counts, topic);
            if *subscribe {
                let wanted = if before { Subscribed::Again } else { Subscribed::First };
                prop_assert_eq!(tree.subscribe(*key, topic), wanted);
            } else {
                let all: usize = counts.iter().filter(|((_, other), _)| other == topic)
                    .map(|(_, count)| count).sum();
                let wanted = match (counts.contains_key(&(*key, topic.clone())), all) {
                    (false, _) => Canceled::Unknown,
                    (true, 1) => Canceled::Last,
                    (true, _) => Canceled::Remaining,
                };
                prop_assert_eq!(tree.cancel(*key, topic), wanted);
            }
        }
    }

    /// XP06.
    #[test]
    fn with_a_peer_go_the_topics_that_nobody_else_has(requests in requests(), key in 0_usize..4) {
        let (mut tree, mut counts) = subscribed(&requests);
        let topics: Vec<Topic> = counts.keys().filter(|(owner, _)| *owner == key)
            .map(|(_, topic)| topic.clone()).collect();
        counts.retain(|(owner, _), _| *owner != key);
        let wanted: Vec<Topic> =
            topics.into_iter().filter(|topic| !somebody_has(&counts, topic)).collect();
        prop_assert_eq!(tree.remove(key).collect::<Vec<_>>(), wanted);
        prop_assert_eq!((tree.len(key), tree.octets(key)), (0, 0));
        for topic in [&b"aaaa"[..], b"abab", b"bbbb", b""] {
            prop_assert!(!visited(&mut tree, topic).contains(&key));
        }
    }

    #[test]
    fn what_subscriptions_cost_is_the_sum_of_their_topics(requests in requests()) {
        let (tree, counts) = subscribed(&requests);
        for key in 0..4 {
            let topics = counts.keys().filter(|(owner, _)| *owner == key);
            let lengths: Vec<usize> = topics.map(|(_, topic)| topic.len()).collect();
            prop_assert_eq!(tree.len(key), lengths.len());
            prop_assert_eq!(tree.octets(key), lengths.iter().sum::<usize>());
        }
        prop_assert_eq!(tree.total(), counts.len());
        let octets: usize = counts.keys().map(|(_, topic)| topic.len()).sum();
        prop_assert_eq!(tree.total_octets(), octets);
    }

    #[test]
    fn a_peer_that_comes_is_told_each_topic_once_and_in_order(requests in requests(), key in 0_usize..4) {
        let (tree, counts) = subscribed(&requests);
        let topics = counts.keys().filter(|(owner, _)| *owner == key);
        let wanted: Vec<Topic> = topics.map(|(_, topic)| topic.clone()).collect();
        prop_assert_eq!(tree.topics(key).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn the_order_of_subscriptions_does_not_matter(
        topics in vec((0_usize..4, topic()), 0..30).prop_flat_map(|topics| {
            (Just(topics.clone()), Just(topics).prop_shuffle())
        }),
        topic in topic()
    ) {
        let (mut one, mut other) = (Subscriptions::new(), Subscriptions::new());
        topics.0.iter().for_each(|(key, topic)| { one.subscribe(*key, topic); });
        topics.1.iter().for_each(|(key, topic)| { other.subscribe(*key, topic); });
        prop_assert_eq!(visited(&mut one, &topic), visited(&mut other, &topic));
    }

    #[test]
    fn when_all_is_cancelled_nothing_is_left(topics in vec((0_usize..4, topic()), 0..40)) {
        let mut tree = Subscriptions::new();
        topics.iter().for_each(|(key, topic)| { tree.subscribe(*key, topic); });
        for (key, topic) in &topics {
            prop_assert_ne!(tree.cancel(*key, topic), Canceled::Unknown);
        }
        prop_assert_eq!((tree.total(), tree.total_octets()), (0, 0));
        prop_assert!(!tree.matches_any(b"aaaaaa") && !tree.matches_any(b""));
    }
}
