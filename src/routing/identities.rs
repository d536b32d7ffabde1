//! The peers of a ROUTER by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::{BufMut, Bytes, BytesMut};
use rustc_hash::FxHashMap;

use crate::options::Identity;

/// Who is known by which identity: one that the peer brings, or one that is
/// drawn for it: a zero octet, which no peer may bring, and a counter of four.
#[derive(Debug)]
pub(crate) struct Identities<K> {
    brought: HashMap<Bytes, K>,
    /// By their counters, which no peer chooses: none can make two of them meet.
    drawn: FxHashMap<u32, K>,
    /// The counter of the identity that is drawn next.
    next: u32,
    /// Room for the next that are drawn, which share their memory.
    room: BytesMut,
}

/// Octets of an identity that is drawn.
const DRAWN: usize = 5;

/// Identities that share their memory, which is free when none of them is left and others are drawn.
const TOGETHER: usize = 64;

/// The counter of an identity that was drawn.
#[inline]
fn counter(identity: &[u8]) -> Option<u32> {
    let [0, counter @ ..] = identity else {
        return None;
    };
    counter.try_into().ok().map(u32::from_be_bytes)
}

/// Another live peer has the identity. It keeps it; the newcomer may come back
/// when that one is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another live peer has this identity")]
pub(crate) struct DuplicateIdentity;

impl<K: Copy + Eq> Identities<K> {
    /// Nobody; the first identity that is drawn counts from `start`, best a
    /// random number: names of an earlier life shall not name another peer now.
    pub(crate) fn new(start: u32) -> Self {
        Self {
            brought: HashMap::new(),
            drawn: FxHashMap::default(),
            next: start,
            room: BytesMut::new(),
        }
    }

    /// Makes a peer known by the identity that it brings.
    pub(crate) fn insert(&mut self, identity: &Identity, key: K) -> Result<(), DuplicateIdentity> {
        match self.brought.entry(identity.as_bytes().clone()) {
            Entry::Occupied(_) => Err(DuplicateIdentity),
            Entry::Vacant(entry) => {
                entry.insert(key);
                Ok(())
            }
        }
    }

    /// Makes a peer known by the identity that it brings, in place of whoever
    /// had it. Returns that one.
    pub(crate) fn replace(&mut self, identity: &Identity, key: K) -> Option<K> {
        self.brought.insert(identity.as_bytes().clone(), key)
    }

    /// Makes a peer known by an identity that nobody has, and returns it.
    pub(crate) fn draw(&mut self, key: K) -> Bytes {
        loop {
            let counter = self.next;
            self.next = counter.wrapping_add(1);
            // Taken ones are met after 2^32 draws only, and are fewer than that.
            if let Entry::Vacant(entry) = self.drawn.entry(counter) {
                entry.insert(key);
                if self.room.capacity() < DRAWN {
                    self.room = BytesMut::with_capacity(DRAWN * TOGETHER);
                }
                self.room.put_u8(0);
                self.room.put_u32(counter);
                return self.room.split().freeze();
            }
        }
    }

    /// Who has this identity.
    #[inline]
    pub(crate) fn lookup(&self, identity: &[u8]) -> Option<K> {
        match counter(identity) {
            Some(counter) => self.drawn.get(&counter),
            None => self.brought.get(identity),
        }
        .copied()
    }

    /// Forgets an identity. Returns who had it.
    pub(crate) fn remove(&mut self, identity: &[u8]) -> Option<K> {
        match counter(identity) {
            Some(counter) => self.drawn.remove(&counter),
            None => self.brought.remove(identity),
        }
    }

    /// How many peers are known.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.brought.len() + self.drawn.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{DuplicateIdentity, Identities};
    use crate::options::Identity;

    fn identity(name: &'static str) -> Identity {
        Identity::new(name).unwrap()
    }

    /// RT04, RT05, RT10.
    #[test]
    fn a_peer_is_found_by_the_identity_that_it_brings() {
        let mut identities = Identities::new(0);
        assert_eq!(identities.insert(&identity("a"), 1), Ok(()));
        assert_eq!(identities.insert(&identity("b"), 2), Ok(()));
        assert_eq!(identities.lookup(b"a"), Some(1));
        assert_eq!(identities.lookup(b"b"), Some(2));
        assert_eq!(identities.lookup(b""), None);
        assert_eq!(identities.lookup(b"ab"), None);
    }

    /// BI-19a.
    #[test]
    fn a_second_peer_of_an_identity_is_refused_until_the_first_is_gone() {
        let mut identities = Identities::new(0);
        identities.insert(&identity("a"), 1).unwrap();
        assert_eq!(identities.insert(&identity("a"), 2), Err(DuplicateIdentity));
        assert_eq!(identities.lookup(b"a"), Some(1));
        assert_eq!(identities.remove(b"a"), Some(1));
        assert_eq!(identities.insert(&identity("a"), 2), Ok(()));
        assert_eq!(identities.lookup(b"a"), Some(2));
    }

    /// N11, BI-18: no peer can bring what is drawn.
    #[test]
    fn a_drawn_identity_is_a_zero_octet_and_the_next_number() {
        let mut identities = Identities::new(u32::MAX);
        assert_eq!(identities.draw(7), &b"\0\xff\xff\xff\xff"[..]);
        assert_eq!(identities.draw(8), &b"\0\0\0\0\0"[..]);
        assert_eq!(identities.lookup(b"\0\xff\xff\xff\xff"), Some(7));
        assert!(Identity::new(identities.draw(9)).is_err());
    }

    #[test]
    fn an_identity_in_use_is_not_drawn_again() {
        let mut identities = Identities::new(5);
        let taken = identities.draw(1);
        identities.next = 5;
        let other = identities.draw(2);
        assert_ne!(taken, other);
        assert_eq!(identities.lookup(&taken), Some(1));
        assert_eq!(identities.lookup(&other), Some(2));
    }

    /// BI-19c.
    #[test]
    fn identities_that_are_drawn_share_their_memory() {
        let mut identities = Identities::new(7);
        let first = identities.draw(1);
        let second = identities.draw(2);
        assert_eq!(first.as_ptr_range().end, second.as_ptr());
    }

    #[test]
    fn the_table_is_as_large_as_there_are_live_links() {
        let mut identities = Identities::new(0);
        for key in 0..10_000 {
            let drawn = identities.draw(key);
            let brought = Identity::new(key.to_string()).unwrap();
            identities.insert(&brought, key).unwrap();
            assert_eq!(identities.len(), 2);
            assert_eq!(identities.remove(&drawn), Some(key));
            assert_eq!(identities.remove(brought.as_bytes()), Some(key));
            assert_eq!(identities.remove(brought.as_bytes()), None);
        }
        assert_eq!(identities.len(), 0);
    }
}
