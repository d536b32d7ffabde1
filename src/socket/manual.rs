//! An XPUB whose application decides which subscriptions of its peers take effect, and as what.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::core::Core;
use super::handle::Handle;
use super::pattern::{Pattern, TOPIC_OCTETS_OF_ALL, TOPICS_OF_ALL, subscription_message};
use super::peer::PeerInfo;
use super::state::{Popped, State};
use crate::error::LinkError;
use crate::message::Message;
use crate::options::TopicLimits;
use crate::session::{PipeId, Subscription};

/// What an [`XPub`](crate::XPub) receives from a subscriber.
#[derive(Debug)]
#[non_exhaustive]
pub enum Upstream {
    /// It asks for a topic.
    Subscription(SubscriptionRequest),
    /// It no longer wants a topic that it asked for, or is gone. What it was
    /// granted for it has ended.
    Cancellation {
        /// The topic, as the peer named it.
        topic: Bytes,
        /// Who.
        peer: Arc<PeerInfo>,
    },
    /// An ordinary message of an XSUB.
    Message {
        /// The message.
        message: Message,
        /// Who.
        peer: Arc<PeerInfo>,
    },
}

/// A subscription that waits for its decision. Dropped it is refused: the peer
/// gets nothing for it, and is not told.
///
/// Of a socket without
/// [`Options::manual_subscriptions`](crate::Options::manual_subscriptions) it
/// has taken effect before it is seen, and there is nothing to decide: dropping
/// it changes nothing, and accepting it returns `false`.
///
/// It keeps the socket open as another handle would.
#[must_use = "a subscription that is dropped is refused"]
pub struct SubscriptionRequest {
    handle: Handle,
    asked: Asked,
    settled: bool,
}

/// Which of the requests of a peer.
#[derive(Debug)]
struct Asked {
    pipe: PipeId,
    peer: Arc<PeerInfo>,
    topic: Bytes,
    /// `None`: it was decided, or canceled, before it was seen.
    number: Option<u64>,
}

impl SubscriptionRequest {
    /// The topic, as the peer named it: a prefix of what it wants.
    #[must_use]
    pub fn topic(&self) -> &Bytes {
        &self.asked.topic
    }

    /// Who asks.
    #[must_use]
    pub fn peer(&self) -> &Arc<PeerInfo> {
        &self.asked.peer
    }

    /// Lets it take effect. Returns whether it does by this: not if the peer has
    /// canceled it, or is gone, nor where there was nothing to decide.
    pub fn accept(self) -> bool {
        let topic = self.asked.topic.clone();
        self.accept_as([topic])
    }

    /// Subscribes the peer to these topics in place of the one that it named;
    /// they end when it cancels that one. A SUB at the other end drops what
    /// does not begin with a topic that it asked for. Returns what
    /// [`accept`](Self::accept) does.
    pub fn accept_as<Topic: Into<Bytes>>(
        mut self,
        topics: impl IntoIterator<Item = Topic>,
    ) -> bool {
        self.settled = true;
        let topics = topics.into_iter().map(Into::into).collect();
        self.handle.core().grant(&self.asked, topics)
    }
}

impl Drop for SubscriptionRequest {
    fn drop(&mut self) {
        if !self.settled {
            self.handle.core().refuse(&self.asked);
        }
    }
}

impl fmt::Debug for SubscriptionRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SubscriptionRequest")
            .field("topic", &self.asked.topic)
            .field("peer", &self.asked.peer)
            .finish_non_exhaustive()
    }
}

/// What was received, before it has the handle that decides.
pub(super) struct Received {
    message: Message,
    asked: Asked,
}

impl Received {
    pub(super) fn into_upstream(self, handle: &Handle) -> Upstream {
        let Self { message, asked } = self;
        match Subscription::from_message(&message) {
            Some(Subscription::Subscribe(_)) => Upstream::Subscription(SubscriptionRequest {
                handle: handle.clone(),
                asked,
                settled: false,
            }),
            Some(Subscription::Cancel(topic)) => {
                let peer = asked.peer;
                Upstream::Cancellation { topic, peer }
            }
            None => {
                let peer = asked.peer;
                Upstream::Message { message, peer }
            }
        }
    }
}

/// What one connection has asked for and not canceled: what waits for its
/// decision, and what was granted. What is refused is forgotten.
#[derive(Debug, Default)]
pub(super) struct Asks {
    by_topic: HashMap<Bytes, VecDeque<Ask>>,
    last: u64,
    count: usize,
    octets: usize,
}

#[derive(Debug)]
struct Ask {
    number: u64,
    /// The application has seen it.
    seen: bool,
    granted: Vec<Bytes>,
    /// Canceled before it was seen: stands for its message until that is shown.
    canceled: bool,
}

impl Asks {
    /// Returns whether there is room for it.
    fn ask(&mut self, topic: &Bytes, limits: &TopicLimits) -> bool {
        let full = self.count >= limits.count || self.octets >= limits.octets;
        if full || topic.len() > limits.longest {
            return false;
        }
        self.last += 1;
        self.count += 1;
        self.octets += topic.len();
        // Copied: the read buffer that it is a slice of may be large.
        let topic = Bytes::copy_from_slice(topic);
        self.by_topic.entry(topic).or_default().push_back(Ask {
            number: self.last,
            seen: false,
            granted: Vec::new(),
            canceled: false,
        });
        true
    }

    /// The oldest request for this topic that was not seen is.
    fn show(&mut self, topic: &Bytes) -> Option<u64> {
        let mut asks = self.by_topic.get_mut(topic)?.iter_mut();
        let ask = asks.find(|ask| !ask.seen)?;
        ask.seen = true;
        let (number, canceled) = (ask.number, ask.canceled);
        if canceled {
            self.remove(topic, |ask| ask.number == number);
            return None;
        }
        Some(number)
    }

    /// Returns whether the request still stands.
    fn grant(&mut self, topic: &Bytes, number: u64, topics: Vec<Bytes>) -> bool {
        let asks = self.by_topic.get_mut(topic);
        let ask = asks.and_then(|asks| asks.iter_mut().find(|ask| ask.number == number));
        ask.map(|ask| ask.granted = topics).is_some()
    }

    fn refuse(&mut self, topic: &Bytes, number: u64) {
        self.remove(topic, |ask| ask.number == number);
    }

    /// Takes the newest request for this topic back, with what was granted for it.
    fn cancel(&mut self, topic: &Bytes) -> Option<Vec<Bytes>> {
        let mut asks = self.by_topic.get_mut(topic)?.iter_mut().rev();
        let newest = asks.find(|ask| !ask.canceled)?;
        if !newest.seen {
            newest.canceled = true;
            return Some(Vec::new());
        }
        let number = newest.number;
        self.remove(topic, |ask| ask.number == number)
    }

    fn remove(&mut self, topic: &Bytes, which: impl Fn(&Ask) -> bool) -> Option<Vec<Bytes>> {
        let asks = self.by_topic.get_mut(topic)?;
        let place = asks.iter().rposition(which)?;
        let ask = asks.remove(place)?;
        if asks.is_empty() {
            self.by_topic.remove(topic);
        }
        self.count -= 1;
        self.octets -= topic.len();
        Some(ask.granted)
    }

    /// The connection is gone: all topics that it had asked for, one for each request.
    pub(super) fn end(&mut self) -> Vec<Bytes> {
        let ended = std::mem::take(self).by_topic.into_iter();
        let each = |(topic, asks): (Bytes, VecDeque<Ask>)| {
            let standing = asks.into_iter().filter(|ask| !ask.canceled);
            standing.map(move |_| topic.clone())
        };
        ended.flat_map(each).collect()
    }
}

impl Core {
    fn grant(&self, asked: &Asked, topics: Vec<Bytes>) -> bool {
        let mut state = self.state.lock();
        let Some((asks, number)) = state.asks(asked) else {
            return false;
        };
        if !asks.grant(&asked.topic, number, topics.clone()) {
            return false;
        }
        if let Pattern::FanOut { subscriptions, .. } = &mut state.pattern {
            for topic in topics {
                subscriptions.subscribe(asked.pipe.index, &topic);
            }
        }
        true
    }

    fn refuse(&self, asked: &Asked) {
        let mut state = self.state.lock();
        if let Some((asks, number)) = state.asks(asked) {
            asks.refuse(&asked.topic, number);
        }
    }
}

impl State {
    /// The requests of the connection that asked, if it is still there.
    fn asks(&mut self, asked: &Asked) -> Option<(&mut Asks, u64)> {
        let number = asked.number?;
        Some((self.asks_of(asked.pipe, &asked.peer)?, number))
    }

    fn asks_of(&mut self, id: PipeId, peer: &Arc<PeerInfo>) -> Option<&mut Asks> {
        let pipe = self.pipe(id).filter(|pipe| pipe.link.is_some())?;
        let same = pipe.peer.as_ref()?.connection == peer.connection;
        pipe.asks.as_deref_mut().filter(|_| same)
    }

    /// As [`pop_from`](Self::pop_from), and shows a request to the application.
    pub(super) fn pop_upstream(&mut self) -> Option<Popped<Received>> {
        let ((message, peer, pipe), link) = self.pop_with_pipe()?;
        let mut asked = Asked {
            pipe,
            peer,
            topic: Bytes::new(),
            number: None,
        };
        if let Some(Subscription::Subscribe(topic)) = Subscription::from_message(&message) {
            let asks = self.asks_of(pipe, &asked.peer);
            asked.number = asks.and_then(|asks| asks.show(&topic));
            asked.topic = topic;
        }
        Some((Received { message, asked }, link))
    }

    /// A peer of a manual XPUB subscribes or cancels: the one waits for the
    /// application, the other takes back what was granted.
    pub(super) fn apply_manually(
        &mut self,
        index: usize,
        subscription: &Subscription,
        limits: &TopicLimits,
    ) {
        let (pipe, pattern) = (&mut self.pipes[index], &mut self.pattern);
        let (Some(asks), Pattern::FanOut { subscriptions, .. }) = (&mut pipe.asks, pattern) else {
            return;
        };
        let shown = match subscription {
            Subscription::Subscribe(topic) => {
                let full = subscriptions.total() >= TOPICS_OF_ALL
                    || subscriptions.total_octets() >= TOPIC_OCTETS_OF_ALL;
                if full || !asks.ask(topic, limits) {
                    let reason = "more subscriptions than a peer may have".to_owned();
                    let link = pipe.link.as_ref();
                    link.inspect(|link| link.fail(LinkError::Protocol(reason)));
                    return;
                }
                subscription_message(true, topic)
            }
            Subscription::Cancel(topic) => {
                // What was refused, or never asked for, is not canceled.
                let Some(granted) = asks.cancel(topic) else {
                    return;
                };
                for topic in granted {
                    subscriptions.cancel(index, &topic);
                }
                subscription_message(false, topic)
            }
        };
        self.say(index, shown);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Asks, TopicLimits};

    const A: Bytes = Bytes::from_static(b"a");

    #[test]
    fn what_is_granted_ends_with_its_own_request() {
        let limits = TopicLimits::default();
        let mut asks = Asks::default();
        assert!(asks.ask(&A, &limits) && asks.ask(&A, &limits));
        let (first, second) = (asks.show(&A), asks.show(&A));
        assert_eq!(asks.show(&A), None);
        assert!(asks.grant(&A, first.unwrap(), vec!["x".into()]));
        assert!(asks.grant(&A, second.unwrap(), vec!["y".into(), "z".into()]));
        assert_eq!(asks.cancel(&A), Some(vec!["y".into(), "z".into()]));
        assert!(!asks.grant(&A, second.unwrap(), vec![A]));
        assert_eq!(asks.end(), [A]);
        assert_eq!(asks.cancel(&A), None);
    }

    /// The application decides on what it is shown, not on a later request for the same topic.
    #[test]
    fn what_was_canceled_unseen_takes_no_decision_from_the_next() {
        let limits = TopicLimits::default();
        let mut asks = Asks::default();
        assert!(asks.ask(&A, &limits));
        assert_eq!(asks.cancel(&A), Some(Vec::new()));
        assert!(asks.ask(&A, &limits));
        assert_eq!(asks.show(&A), None);
        let second = asks.show(&A).expect("the second request stands");
        assert!(asks.grant(&A, second, vec![A]));
        assert_eq!(asks.end(), [A]);
    }

    #[test]
    fn what_is_refused_is_forgotten() {
        let limits = TopicLimits::default();
        let mut asks = Asks::default();
        assert!(asks.ask(&A, &limits));
        let number = asks.show(&A).unwrap();
        asks.refuse(&A, number);
        assert_eq!(asks.cancel(&A), None);
        assert_eq!((asks.count, asks.octets), (0, 0));
        assert!(asks.end().is_empty());
    }

    /// A request costs as much as a subscription, decided or not.
    #[test]
    fn requests_that_nobody_decides_are_bounded() {
        let limits = TopicLimits::default();
        let mut asks = Asks::default();
        assert!((0..limits.count).all(|_| asks.ask(&A, &limits)));
        assert!(!asks.ask(&A, &limits));
    }
}
