//! The order of events that `Monitor` promises, as a fold that fails on an illegal one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::StreamExt;
use pushsub::{Endpoint, Event, LinkError, Monitor, PeerInfo};

/// What the events of one socket have told. It may connect an endpoint once at a time.
#[derive(Default)]
pub(crate) struct Order {
    listened: HashSet<Endpoint>,
    listening: HashSet<Endpoint>,
    dialled: HashMap<Endpoint, Dialled>,
    pub(crate) peers: BTreeMap<u64, Arc<PeerInfo>>,
    last: u64,
    /// Of each kind, so that a test can say that it has seen something.
    pub(crate) connected: usize,
    pub(crate) retried: usize,
    pub(crate) refused: usize,
}

/// What a connected endpoint does.
#[derive(Debug, PartialEq)]
enum Dialled {
    /// An attempt is under way.
    Attempt,
    Connected,
    /// The connection ended, and the wait is not yet told.
    Down,
}

impl Order {
    /// Takes what is there. Returns whether the stream has ended.
    pub(crate) fn drain(&mut self, monitor: &mut Monitor) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match monitor.poll_next_unpin(&mut context) {
                Poll::Ready(Some(event)) => self.see(&event),
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
    }

    pub(crate) fn see(&mut self, event: &Event) {
        let legal = match event {
            Event::Listening { endpoint } => {
                self.listened.insert(endpoint.clone());
                self.listening.insert(endpoint.clone())
            }
            Event::Unbound { endpoint } => self.listening.remove(endpoint),
            Event::Dialling { endpoint } => {
                let before = self.dialled.insert(endpoint.clone(), Dialled::Attempt);
                before.is_none()
            }
            Event::Released { endpoint } => {
                let before = self.dialled.remove(endpoint);
                before.is_some_and(|before| before != Dialled::Connected)
            }
            Event::Connected { endpoint, peer } => self.connect(endpoint, peer),
            Event::Disconnected {
                endpoint,
                peer,
                reason,
            } => self.disconnect(endpoint, peer, reason),
            Event::Retrying { endpoint, .. } => {
                self.retried += 1;
                self.turn(
                    endpoint,
                    &[Dialled::Attempt, Dialled::Down],
                    Dialled::Attempt,
                )
            }
            Event::Refused { endpoint, .. } => {
                self.refused += 1;
                self.listened.contains(endpoint)
            }
            Event::AcceptFailed { endpoint, .. } => self.listening.contains(endpoint),
            _ => false,
        };
        assert!(legal, "{event:?} after {:?}", self.dialled);
    }

    fn connect(&mut self, endpoint: &Endpoint, peer: &Arc<PeerInfo>) -> bool {
        self.connected += 1;
        let ascends = peer.connection > self.last;
        self.last = peer.connection;
        self.peers.insert(peer.connection, peer.clone());
        let expected = if peer.accepted {
            self.listened.contains(endpoint)
        } else {
            self.turn(endpoint, &[Dialled::Attempt], Dialled::Connected)
        };
        ascends && expected && peer.endpoint == *endpoint
    }

    fn disconnect(
        &mut self,
        endpoint: &Endpoint,
        peer: &Arc<PeerInfo>,
        reason: &LinkError,
    ) -> bool {
        let known = self.peers.remove(&peer.connection);
        let next = match reason {
            LinkError::GivenUp => Dialled::Attempt,
            _ => Dialled::Down,
        };
        known.as_ref() == Some(peer)
            && (peer.accepted || self.turn(endpoint, &[Dialled::Connected], next))
    }

    /// The endpoint does something else. Returns whether it may.
    fn turn(&mut self, endpoint: &Endpoint, from: &[Dialled], to: Dialled) -> bool {
        let Some(dialled) = self.dialled.get_mut(endpoint) else {
            return false;
        };
        let may = from.contains(dialled);
        *dialled = to;
        may
    }

    /// The peer table that the events make is the one that the socket shows.
    #[track_caller]
    pub(crate) fn assert_peers(&self, shown: &[Arc<PeerInfo>]) {
        assert!(self.peers.values().eq(shown), "{:?}", self.peers);
    }

    /// The stream has ended: whatever began has ended, too.
    #[track_caller]
    pub(crate) fn assert_over(&self) {
        assert!(self.peers.is_empty(), "{:?}", self.peers);
        assert!(self.listening.is_empty(), "{:?}", self.listening);
        assert!(self.dialled.is_empty(), "{:?}", self.dialled);
    }
}
