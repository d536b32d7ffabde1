//! The children of a node of the trie: a short list, or where there are many a table.

use smallvec::SmallVec;

/// More than these are a table.
const FEW: usize = 16;

/// The nodes below one, by the first octet of their edges. The root is below none.
#[derive(Debug)]
pub(super) enum Children {
    /// In the order of the octets.
    Few(SmallVec<[(u8, u32); 2]>),
    Many(Box<Table>),
}

/// By the octet; the root where there is none.
#[derive(Debug)]
pub(super) struct Table {
    nodes: [u32; 256],
    count: usize,
}

const NONE: u32 = super::ROOT as u32;

/// A node is some hundred octets of memory, so that there are never as many.
const FEWER_NODES: &str = "there are fewer than 2^32 nodes";

fn stored(node: usize) -> u32 {
    u32::try_from(node).expect(FEWER_NODES)
}

impl Children {
    pub(super) fn new() -> Self {
        Self::Few(SmallVec::new())
    }

    #[inline]
    pub(super) fn get(&self, octet: u8) -> Option<usize> {
        let found = match self {
            Self::Few(children) => {
                let mut children = children.iter();
                children.find(|child| child.0 == octet).map(|child| child.1)
            }
            Self::Many(table) => {
                let node = table.nodes[usize::from(octet)];
                (node != NONE).then_some(node)
            }
        };
        found.map(|node| node as usize)
    }

    /// Puts a child in place of the one of its octet, or beside the others.
    pub(super) fn set(&mut self, octet: u8, node: usize) {
        let node = stored(node);
        match self {
            Self::Few(children) => match children.binary_search_by_key(&octet, |child| child.0) {
                Ok(position) => children[position].1 = node,
                Err(position) => children.insert(position, (octet, node)),
            },
            Self::Many(table) => {
                let place = &mut table.nodes[usize::from(octet)];
                table.count += usize::from(*place == NONE);
                *place = node;
            }
        }
        if let Self::Few(children) = self
            && children.len() > FEW
        {
            *self = Self::Many(Box::new(Table::of(children)));
        }
    }

    pub(super) fn remove(&mut self, octet: u8) {
        match self {
            Self::Few(children) => {
                children.retain(|child| child.0 != octet);
                // What only had many for a while is to cost no more than the others.
                children.shrink_to_fit();
            }
            Self::Many(table) => {
                let place = &mut table.nodes[usize::from(octet)];
                table.count -= usize::from(*place != NONE);
                *place = NONE;
            }
        }
        if let Self::Many(table) = self
            && table.count <= FEW / 2
        {
            *self = Self::Few(table.children().collect());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        // A table has more than a few.
        matches!(self, Self::Few(children) if children.is_empty())
    }

    /// The child, where it is the only one.
    pub(super) fn only(&self) -> Option<usize> {
        match self {
            Self::Few(children) => match children[..] {
                [(_, node)] => Some(node as usize),
                _ => None,
            },
            Self::Many(_) => None,
        }
    }

    /// Says of each child where it is now.
    pub(super) fn move_to(&mut self, now: impl Fn(usize) -> usize) {
        let change = |node: &mut u32| *node = stored(now(*node as usize));
        match self {
            Self::Few(children) => children.iter_mut().for_each(|child| change(&mut child.1)),
            Self::Many(table) => {
                let nodes = table.nodes.iter_mut();
                nodes.filter(|node| **node != NONE).for_each(change);
            }
        }
    }
}

impl Table {
    fn of(children: &[(u8, u32)]) -> Self {
        let mut nodes = [NONE; 256];
        for (octet, node) in children {
            nodes[usize::from(*octet)] = *node;
        }
        let count = children.len();
        Self { nodes, count }
    }

    fn children(&self) -> impl Iterator<Item = (u8, u32)> {
        let nodes = (0..=u8::MAX).zip(self.nodes);
        nodes.filter(|(_, node)| *node != NONE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{Children, FEW};

    #[test]
    fn a_table_that_has_few_left_is_a_list_again() {
        let mut children = Children::new();
        for octet in 0..=u8::MAX {
            children.set(octet, 1 + usize::from(octet));
        }
        assert!(matches!(children, Children::Many(_)));
        for octet in 1..=u8::MAX {
            children.remove(octet);
        }
        assert!(matches!(children, Children::Few(_)));
        assert_eq!(children.only(), Some(1));
        children.remove(0);
        assert!(children.is_empty());
    }

    proptest! {
        #![proptest_config(crate::property::cases(64))]

        #[test]
        fn each_child_is_found_by_its_octet_however_many_there_are(
            steps in vec((any::<bool>(), 0_u8..40, 1_usize..1_000), 0..200)
        ) {
            let (mut children, mut model) = (Children::new(), BTreeMap::new());
            for (sets, octet, node) in steps {
                if sets {
                    children.set(octet, node);
                    model.insert(octet, node);
                } else {
                    children.remove(octet);
                    model.remove(&octet);
                }
                for octet in 0..=u8::MAX {
                    prop_assert_eq!(children.get(octet), model.get(&octet).copied());
                }
                prop_assert_eq!(children.is_empty(), model.is_empty());
                let only = model.values().next().filter(|_| model.len() == 1);
                prop_assert_eq!(children.only(), only.copied());
                prop_assert!(model.len() <= FEW || matches!(children, Children::Many(_)));
            }
            children.move_to(|node| node + 1);
            for (octet, node) in model {
                prop_assert_eq!(children.get(octet), Some(node + 1));
            }
        }
    }
}
