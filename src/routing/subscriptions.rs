//! Who wants which topics: a trie of prefixes with the subscribers at its nodes.

mod children;

use std::collections::{HashMap, HashSet};

use slab::Slab;
use smallvec::SmallVec;

use self::children::Children;

/// Whoever goes with fewer topics leaves the table as large as it is.
const MANY: usize = 1_000;

/// The subscriptions of all links of a PUB or XPUB, or, under a single key,
/// those of a SUB.
///
/// ```text
///  ""  ── a subscriber to everything
///   ├─ "news."            an edge holds all octets up to the next fork or subscriber
///   │    ├─ "sport"  ── subscribers 1 (twice) and 4
///   │    └─ "weather" ── subscriber 1
///   └─ "time"  ── subscriber 2
/// ```
///
/// A publication walks one path, whatever else is subscribed to; short edges and the first
/// subscriber lie in the node itself, so that a step of it looks at few places in memory. Keys are
/// small numbers, such as those of a slab: tables are indexed by them.
#[derive(Debug)]
pub(crate) struct Subscriptions<K> {
    /// The root, with the empty topic, is at [`ROOT`] and never goes. A node
    /// with subscribers keeps its index as long as it has some, or until
    /// [`compact`](Self::compact).
    nodes: Slab<Node<K>>,
    /// What each key subscribes to, by key.
    links: Vec<Link>,
    /// The last generation in which each key was visited, by key.
    visited: Vec<u64>,
    /// The generation of the last [`matches`](Self::matches).
    generation: u64,
    /// The topics of all keys, and their octets: a topic of two keys counts twice.
    total: Total,
}

/// What a subscription changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscribed {
    /// Nobody had this topic.
    First,
    /// Somebody had it, perhaps the same key.
    Again,
}

/// What a cancel changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Canceled {
    /// Nobody has this topic any more.
    Last,
    /// Somebody has it still, perhaps the same key.
    Remaining,
    /// The key did not have it: nothing changed.
    Unknown,
}

#[derive(Debug)]
struct Node<K> {
    /// The octets between the parent's topic and this one's; empty at the root alone.
    edge: Edge,
    parent: usize,
    children: Children,
    /// Who wants the topic that ends here, in the order of the keys.
    subscribers: SmallVec<[Subscriber<K>; 1]>,
}

type Edge = SmallVec<[u8; 16]>;

#[derive(Debug)]
struct Subscriber<K> {
    key: K,
    /// How often it subscribed and has not canceled: at least 1.
    count: usize,
}

#[derive(Debug, Default)]
struct Total {
    topics: usize,
    octets: usize,
}

#[derive(Debug, Default)]
struct Link {
    nodes: HashSet<usize>,
    /// The octets of its topics together.
    octets: usize,
}

const ROOT: usize = 0;

impl<K: Copy + Eq + Into<usize>> Subscriptions<K> {
    /// Nobody wants anything.
    pub(crate) fn new() -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(Edge::new(), ROOT));
        debug_assert_eq!(root, ROOT);
        Self {
            nodes,
            links: Vec::new(),
            visited: Vec::new(),
            generation: 0,
            total: Total::default(),
        }
    }

    /// Counts a subscription: a topic subscribed to twice wants two cancels (29/PUBSUB).
    pub(crate) fn subscribe(&mut self, key: K, topic: &[u8]) -> Subscribed {
        let node = self.make(topic);
        let index = key.into();
        if self.links.len() <= index {
            self.links.resize_with(index + 1, Link::default);
            self.visited.resize(index + 1, 0);
        }
        let subscribers = &mut self.nodes[node].subscribers;
        let outcome = match subscribers.is_empty() {
            true => Subscribed::First,
            false => Subscribed::Again,
        };
        match subscribers.binary_search_by_key(&index, |other| other.key.into()) {
            Ok(position) => {
                let count = &mut subscribers[position].count;
                *count = count.saturating_add(1);
            }
            Err(position) => {
                subscribers.insert(position, Subscriber { key, count: 1 });
                self.links[index].nodes.insert(node);
                self.links[index].octets += topic.len();
                self.total.topics += 1;
                self.total.octets += topic.len();
            }
        }
        outcome
    }

    /// Takes one subscription back.
    pub(crate) fn cancel(&mut self, key: K, topic: &[u8]) -> Canceled {
        let Some(node) = self.find(topic) else {
            return Canceled::Unknown;
        };
        let index = key.into();
        let subscribers = &mut self.nodes[node].subscribers;
        let found = subscribers.binary_search_by_key(&index, |other| other.key.into());
        let Ok(position) = found else {
            return Canceled::Unknown;
        };
        let count = &mut subscribers[position].count;
        *count -= 1;
        if *count > 0 {
            return Canceled::Remaining;
        }
        self.links[index].nodes.remove(&node);
        self.links[index].octets -= topic.len();
        self.total.topics -= 1;
        self.total.octets -= topic.len();
        match self.leave(node, index) {
            true => Canceled::Last,
            false => Canceled::Remaining,
        }
    }

    /// Visits each key once that wants this topic or a prefix of it, those of
    /// shorter prefixes first.
    pub(crate) fn matches(&mut self, topic: &[u8], visit: &mut impl FnMut(K)) {
        // Generations never wrap: 64 bits last for centuries of publications.
        self.generation += 1;
        let mut place = Some((ROOT, topic));
        while let Some((node, rest)) = place {
            for subscriber in &self.nodes[node].subscribers {
                let visited = &mut self.visited[subscriber.key.into()];
                if *visited != self.generation {
                    *visited = self.generation;
                    visit(subscriber.key);
                }
            }
            place = step(&self.nodes, node, rest);
        }
    }

    /// Whether any key wants this topic.
    pub(crate) fn matches_any(&self, topic: &[u8]) -> bool {
        let mut place = Some((ROOT, topic));
        while let Some((node, rest)) = place {
            if !self.nodes[node].subscribers.is_empty() {
                return true;
            }
            place = step(&self.nodes, node, rest);
        }
        false
    }

    /// Takes all subscriptions of a key back, when its link ends. Returns the
    /// topics that nobody has any more, in their order.
    pub(crate) fn remove(&mut self, key: K) -> impl Iterator<Item = Vec<u8>> + use<K> {
        let index = key.into();
        let link = self.links.get_mut(index).map(std::mem::take);
        let link = link.unwrap_or_default();
        self.total.topics -= link.nodes.len();
        self.total.octets -= link.octets;
        // Worth the walk only for who had much of what there was.
        let many = link.nodes.len() >= MANY.max(self.nodes.len() / 4);
        let mut ended = Vec::new();
        for node in link.nodes {
            let topic = self.topic(node);
            if self.leave(node, index) {
                ended.push(topic);
            }
        }
        if many {
            self.compact();
        }
        ended.sort_unstable();
        ended.into_iter()
    }

    /// Moves the nodes together, and gives back the memory of those that went.
    fn compact(&mut self) {
        let mut moved = HashMap::new();
        self.nodes.compact(|_, from, to| {
            moved.insert(from, to);
            true
        });
        let now = |index: usize| moved.get(&index).copied().unwrap_or(index);
        for (_, node) in &mut self.nodes {
            node.parent = now(node.parent);
            node.children.move_to(now);
        }
        for link in &mut self.links {
            if link.nodes.iter().any(|node| moved.contains_key(node)) {
                link.nodes = link.nodes.iter().map(|node| now(*node)).collect();
            }
        }
    }

    /// The topics of a key, each once, in their order: what a SUB tells a new publisher.
    pub(crate) fn topics(&self, key: K) -> impl Iterator<Item = Vec<u8>> + use<K> {
        let link = self.links.get(key.into());
        let nodes = link.into_iter().flat_map(|link| &link.nodes);
        let mut topics: Vec<_> = nodes.map(|node| self.topic(*node)).collect();
        topics.sort_unstable();
        topics.into_iter()
    }

    /// How many topics a key has, for the limit on what a link may make us hold.
    pub(crate) fn len(&self, key: K) -> usize {
        self.links
            .get(key.into())
            .map_or(0, |link| link.nodes.len())
    }

    /// The octets of a key's topics together, for the same limit.
    pub(crate) fn octets(&self, key: K) -> usize {
        self.links.get(key.into()).map_or(0, |link| link.octets)
    }

    /// How many topics all keys have, for the limit on what they may make us hold together.
    pub(crate) fn total(&self) -> usize {
        self.total.topics
    }

    /// The octets of all keys' topics together, for the same limit.
    pub(crate) fn total_octets(&self) -> usize {
        self.total.octets
    }

    fn find(&self, topic: &[u8]) -> Option<usize> {
        let (mut node, mut rest) = (ROOT, topic);
        while !rest.is_empty() {
            (node, rest) = step(&self.nodes, node, rest)?;
        }
        Some(node)
    }

    /// The node of a topic, made where there is none.
    fn make(&mut self, topic: &[u8]) -> usize {
        let (mut node, mut rest) = (ROOT, topic);
        while let Some(first) = rest.first() {
            let Some(child) = self.nodes[node].children.get(*first) else {
                return self.add_child(node, rest);
            };
            let edge = &self.nodes[child].edge;
            let common = edge.iter().zip(rest).take_while(|(a, b)| a == b).count();
            node = if common < edge.len() {
                self.split(child, common)
            } else {
                child
            };
            rest = &rest[common..];
        }
        node
    }

    /// Hangs a node with this edge, which is not empty, below `parent`.
    fn add_child(&mut self, parent: usize, edge: &[u8]) -> usize {
        let child = self.nodes.insert(Node::new(edge.into(), parent));
        self.nodes[parent].children.set(edge[0], child);
        child
    }

    /// Puts a new node after the first `at` octets of a node's edge. The node
    /// below keeps its index, since links know it.
    fn split(&mut self, node: usize, at: usize) -> usize {
        let (head, tail) = self.nodes[node].edge.split_at(at);
        let (head, tail): (Edge, Edge) = (head.into(), tail.into());
        let parent = self.nodes[node].parent;
        let first = (head[0], tail[0]);
        let middle = self.nodes.insert(Node::new(head, parent));
        self.nodes[middle].children.set(first.1, node);
        self.nodes[node].edge = tail;
        self.nodes[node].parent = middle;
        self.nodes[parent].children.set(first.0, middle);
        middle
    }

    /// Takes a subscriber off a node, and the node off the trie where nobody
    /// needs it. Returns whether the topic ended.
    fn leave(&mut self, node: usize, index: usize) -> bool {
        let subscribers = &mut self.nodes[node].subscribers;
        if let Ok(position) = subscribers.binary_search_by_key(&index, |other| other.key.into()) {
            subscribers.remove(position);
        }
        let ended = subscribers.is_empty();
        if ended {
            self.prune(node);
        }
        ended
    }

    /// Removes nodes upward that are neither a topic nor a fork.
    fn prune(&mut self, mut node: usize) {
        while node != ROOT && self.nodes[node].subscribers.is_empty() {
            let parent = self.nodes[node].parent;
            let first = self.nodes[node].edge[0];
            if self.nodes[node].children.is_empty() {
                self.nodes[parent].children.remove(first);
                self.nodes.remove(node);
                node = parent;
                continue;
            }
            if let Some(child) = self.nodes[node].children.only() {
                let edge = [&*self.nodes[node].edge, &*self.nodes[child].edge].concat();
                self.nodes[child].edge = edge.into();
                self.nodes[child].parent = parent;
                self.nodes[parent].children.set(first, child);
                self.nodes.remove(node);
            }
            return;
        }
    }

    /// The topic that ends at a node.
    fn topic(&self, mut node: usize) -> Vec<u8> {
        let mut edges = Vec::new();
        while node != ROOT {
            edges.push(&*self.nodes[node].edge);
            node = self.nodes[node].parent;
        }
        edges.reverse();
        edges.concat()
    }
}

impl<K> Node<K> {
    fn new(edge: Edge, parent: usize) -> Self {
        Self {
            edge,
            parent,
            children: Children::new(),
            subscribers: SmallVec::new(),
        }
    }
}

/// The next node on the way down to `rest`, and what is left of it then.
fn step<'topic, K>(
    nodes: &Slab<Node<K>>,
    node: usize,
    rest: &'topic [u8],
) -> Option<(usize, &'topic [u8])> {
    let parent = &nodes[node];
    let child = parent.children.get(*rest.first()?)?;
    let rest = rest.strip_prefix(&*nodes[child].edge)?;
    Some((child, rest))
}

#[cfg(test)]
mod tests;
