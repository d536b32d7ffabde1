//! A stream of what happens to the connections of a socket, in an order that can be relied on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;

use super::peer::PeerInfo;
use crate::endpoint::Endpoint;
use crate::error::LinkError;

/// Events that wait for a slow reader; later ones are lost to it, and counted.
const CAPACITY: usize = 4_096;

/// Something that happened to a connection. See [`Monitor`] for their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The socket listens on this endpoint.
    Listening {
        /// The endpoint, wildcards resolved.
        endpoint: Endpoint,
    },
    /// The socket no longer listens on this endpoint, which is free again. The
    /// connections that came by it go on, and those that had been accepted may
    /// still finish their handshake.
    Unbound {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// `connect` was called: the endpoint is dialled from now on.
    Dialling {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// The endpoint is dialled no more: `disconnect` was called, it was given up
    /// ([`GaveUp`](Self::GaveUp)), or the socket closes.
    Released {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// A peer has finished its handshake.
    Connected {
        /// The endpoint that was connected or bound.
        endpoint: Endpoint,
        /// Who it is.
        peer: Arc<PeerInfo>,
    },
    /// A connection that was made has ended.
    Disconnected {
        /// The endpoint that was connected or bound.
        endpoint: Endpoint,
        /// Who it was.
        peer: Arc<PeerInfo>,
        /// Why.
        reason: LinkError,
    },
    /// A connected endpoint will be tried again.
    Retrying {
        /// The endpoint.
        endpoint: Endpoint,
        /// After this time.
        wait: Duration,
        /// Why the last connection ended or was not made.
        reason: LinkError,
    },
    /// A connected endpoint is not tried again, as
    /// [`Options::reconnect_stop`](crate::Options::reconnect_stop) has it.
    GaveUp {
        /// The endpoint.
        endpoint: Endpoint,
        /// Why the last connection ended or was not made.
        reason: LinkError,
    },
    /// A peer that dialled in was turned away.
    Refused {
        /// The endpoint it came to.
        endpoint: Endpoint,
        /// Where it came from, for people to read.
        address: String,
        /// Why.
        reason: LinkError,
    },
    /// The system would not accept a connection, as when descriptors have run out.
    AcceptFailed {
        /// The endpoint that listens.
        endpoint: Endpoint,
        /// It is tried again after this time.
        wait: Duration,
        /// What the system said.
        reason: String,
    },
    /// The reader was slow, and events are missing here. A new [`Monitor`]
    /// begins with the peers that are there.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// The events of a socket, from the call to `monitor` on; the stream ends with
/// the socket, and nothing comes after its last event.
///
/// # Order
///
/// All monitors of a socket see the same events in the same order:
///
/// ```text
///  a connection (PeerInfo::connection)   Connected ──▶ Disconnected
///
///  a bound endpoint      Listening ──▶ (Connected │ Refused │ AcceptFailed)* ──▶ Unbound
///
///                            ┌──────────── Retrying ◀───────────┐
///  a connected endpoint      ▼                                  │
///               Dialling ──▶ ○ ──▶ Connected ──▶ Disconnected ──┤
///                            └── the attempt failed ────────────┤
///                                                               └──▶ GaveUp ──▶ Released
///             … ──▶ Released, from anywhere but between Connected and Disconnected
/// ```
///
/// - Each connection has one `Connected`, and then one `Disconnected`; the
///   peers that [`peers`](crate::Router::peers) shows are those between the two.
/// - `Listening` comes before whatever happens at its endpoint, and `Unbound`
///   after the last `AcceptFailed`. Those who were accepted before may be
///   `Connected` or `Refused` after it.
/// - A connected endpoint has at most one connection at a time, and between
///   two of them one or more `Retrying`; none where a REQ cuts its own
///   connection ([`LinkError::GivenUp`]), which is made anew at once. After
///   `GaveUp` only `Released` comes, and after that nothing more. An endpoint
///   that was connected several times lives several such lives.
/// - Every `Listening` has its `Unbound`, every `Dialling` its `Released` and
///   every `Connected` its `Disconnected` before the stream ends, if the
///   runtime lives to see the socket closed.
/// - A reader that lags by 4,096 events misses those that follow, and is told
///   how many by one `Lagged` in their place.
///
/// To a name of libzmq's monitor: LISTENING is `Listening`, CLOSED `Unbound`,
/// CONNECT_DELAYED `Dialling`, CONNECT_RETRIED `Retrying`, HANDSHAKE_SUCCEEDED
/// `Connected`, DISCONNECTED `Disconnected`, the HANDSHAKE_FAILED ones `Refused`
/// where the peer dialled and `Retrying` or `GaveUp` where we did, ACCEPT_FAILED
/// `AcceptFailed`, MONITOR_STOPPED the end of the stream; BIND_FAILED is the
/// error of `bind`. What CONNECTED and ACCEPTED tell, a connection before its
/// handshake, is told by no event.
#[derive(Debug)]
pub struct Monitor {
    events: Arc<Mutex<Events>>,
    peers: Vec<Arc<PeerInfo>>,
}

impl Monitor {
    /// Who was connected when the monitor was made: no event before its first
    /// one is missing here, and none of its own is in it already.
    #[must_use]
    pub fn peers(&self) -> &[Arc<PeerInfo>] {
        &self.peers
    }
}

/// # Cancel safety
///
/// A dropped `next` loses no event.
impl Stream for Monitor {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.lock().poll_next(context)
    }
}

/// What waits for one reader. Its lock is taken last, and for a push or a pop only.
#[derive(Debug, Default)]
struct Events {
    waiting: VecDeque<Event>,
    /// Those that found no room since.
    missed: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Events {
    fn push(&mut self, event: Event) {
        let gap = usize::from(self.missed > 0);
        if self.ended || self.waiting.len() + gap >= CAPACITY {
            self.missed += 1;
            return;
        }
        if gap > 0 {
            let missed = std::mem::take(&mut self.missed);
            self.waiting.push_back(Event::Lagged { missed });
        }
        self.waiting.push_back(event);
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.waiting.pop_front() {
            return Poll::Ready(Some(event));
        }
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            return Poll::Ready(Some(Event::Lagged { missed }));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Monitor {
    /// Of a socket that is closed, or closing: it tells nothing.
    pub(super) fn ended(peers: Vec<Arc<PeerInfo>>) -> Self {
        let events = Arc::<Mutex<Events>>::default();
        events.lock().ended = true;
        Self { events, peers }
    }
}

/// Who listens to the events of one socket. Guarded by the socket's lock, which
/// is what gives all of them the same order; the wakers are called after it.
#[derive(Default)]
pub(super) struct Monitors(Vec<Arc<Mutex<Events>>>);

impl Monitors {
    pub(super) fn add(&mut self, peers: Vec<Arc<PeerInfo>>) -> Monitor {
        let events = Arc::<Mutex<Events>>::default();
        self.0.push(events.clone());
        Monitor { events, peers }
    }

    /// Tells all. The caller wakes whom it finds in `wakers`, without the lock.
    pub(super) fn emit(&mut self, event: &Event, wakers: &mut Vec<Waker>) {
        // A reader that is gone has left its queue to us.
        self.0.retain(|events| Arc::strong_count(events) > 1);
        for events in &self.0 {
            let mut events = events.lock();
            events.push(event.clone());
            wakers.extend(events.waker.take());
        }
    }

    /// Nothing more comes. As with [`emit`](Self::emit), the caller wakes.
    pub(super) fn end(&mut self, wakers: &mut Vec<Waker>) {
        for events in self.0.drain(..) {
            let mut events = events.lock();
            events.ended = true;
            wakers.extend(events.waker.take());
        }
    }
}

impl Drop for Monitors {
    /// The socket ended without being closed: with its runtime.
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        self.end(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::{CAPACITY, Event, Events};
    use crate::endpoint::Endpoint;

    fn next(events: &mut Events) -> Poll<Option<Event>> {
        events.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    fn numbered(number: usize) -> Event {
        let endpoint = Endpoint::Inproc(number.to_string());
        Event::Listening { endpoint }
    }

    #[test]
    fn what_a_slow_reader_missed_is_told_in_its_place() {
        let mut events = Events::default();
        for number in 0..CAPACITY + 3 {
            events.push(numbered(number));
        }
        assert_eq!(next(&mut events), Poll::Ready(Some(numbered(0))));
        events.push(numbered(9_999));
        for number in 1..CAPACITY {
            assert_eq!(next(&mut events), Poll::Ready(Some(numbered(number))));
        }
        // One place was free, and the gap and the event need two.
        let gap = Event::Lagged { missed: 4 };
        assert_eq!(next(&mut events), Poll::Ready(Some(gap)));
        assert_eq!(next(&mut events), Poll::Pending);
        events.push(numbered(1));
        assert_eq!(next(&mut events), Poll::Ready(Some(numbered(1))));
    }

    #[test]
    fn a_gap_stands_before_what_came_after_it() {
        let mut events = Events::default();
        for number in 0..=CAPACITY {
            events.push(numbered(number));
        }
        for number in 0..2 {
            assert_eq!(next(&mut events), Poll::Ready(Some(numbered(number))));
        }
        events.push(numbered(7));
        for number in 2..CAPACITY {
            assert_eq!(next(&mut events), Poll::Ready(Some(numbered(number))));
        }
        let gap = Event::Lagged { missed: 1 };
        assert_eq!(next(&mut events), Poll::Ready(Some(gap)));
        assert_eq!(next(&mut events), Poll::Ready(Some(numbered(7))));
    }
}
