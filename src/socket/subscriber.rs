//! What a SUB or XSUB asks of its publishers: topics, and, of an XSUB, ordinary messages.

use super::core::Core;
use super::offer::{Flush, Offer};
use super::pattern::{OWN, Pattern};
use super::receipt::Terms;
use super::state::State;
use crate::message::Message;
use crate::options::{Options, Overflow};
use crate::routing::{Canceled, Subscribed};
use crate::session::{Link, PipeId, Subscription, Writer};

impl Core {
    /// Wants or no longer wants a topic, and tells the publishers where that is news.
    pub(super) fn subscribe(&self, subscription: &Subscription) {
        let links = self.state.lock().subscribe(subscription);
        links.iter().for_each(|link| link.flush_now(Writer::Sender));
    }
}

impl State {
    /// Returns the links to flush.
    fn subscribe(&mut self, subscription: &Subscription) -> Vec<Link> {
        let Pattern::Subscriber { wanted, .. } = &mut self.pattern else {
            unreachable!("only SUB and XSUB subscribe")
        };
        let news = match subscription {
            Subscription::Subscribe(topic) => wanted.subscribe(OWN, topic) == Subscribed::First,
            Subscription::Cancel(topic) => wanted.cancel(OWN, topic) == Canceled::Last,
        };
        let mut links = Vec::new();
        if news {
            for (_, pipe) in &mut self.pipes {
                let Some(version) = pipe.link.as_ref().map(|link| link.version()) else {
                    continue;
                };
                links.extend(pipe.push_command(&mut |octets| subscription.encode(version, octets)));
            }
        }
        links
    }

    /// XS02 to XS05: a subscription is one; all else goes to every publisher,
    /// and who has no room misses it.
    pub(super) fn offer_upstream(
        &mut self,
        offered: &mut Option<Message>,
        terms: Option<&Terms<'_>>,
        options: &Options,
        flush: &mut Flush,
    ) -> Offer {
        let Some(message) = &offered.take() else {
            return Offer::Accepted;
        };
        if let Some(subscription) = Subscription::from_message(message) {
            for link in self.subscribe(&subscription) {
                flush.add(Some(link));
            }
            return Offer::Accepted;
        }
        let overflow = options.pattern.overflow.unwrap_or(Overflow::DropNewest);
        let mut copies = 0;
        for (_, pipe) in self.pipes.iter_mut().filter(|(_, pipe)| pipe.is_live()) {
            copies += 1;
            flush.add(pipe.push_or(message.into(), terms, overflow, flush.leaves));
        }
        self.unmatched += u64::from(copies == 0);
        Offer::Accepted
    }

    /// XS06: takes all subscriptions back from a publisher that is disconnected.
    pub(super) fn cancel_all(&mut self, id: PipeId) {
        let Pattern::Subscriber { wanted, .. } = &self.pattern else {
            return;
        };
        let topics: Vec<_> = wanted.topics(OWN).collect();
        let Some(pipe) = self.pipe(id) else { return };
        let Some(version) = pipe.link.as_ref().map(|link| link.version()) else {
            return;
        };
        for topic in topics {
            let cancel = Subscription::Cancel(topic.into());
            pipe.push_command(&mut |octets| cancel.encode(version, octets));
        }
    }
}
