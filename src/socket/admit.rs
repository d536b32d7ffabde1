//! What is taken in of what a peer sends, as the pattern wants it.

use super::envelope;
use super::pattern::{Pattern, TOPIC_OCTETS_OF_ALL, TOPICS_OF_ALL, subscription_message};
use super::state::State;
use crate::error::LinkError;
use crate::message::Message;
use crate::options::{Options, Shown};
use crate::pipe::{Plain, Progress};
use crate::routing::{Canceled, Subscribed, Subscriptions};
use crate::session::Subscription;

/// What nobody asked for a SUB drops, and an XSUB does not.
fn lets_in(
    wanted: &Subscriptions<usize>,
    filters: bool,
    message: &Message,
    options: &Options,
) -> bool {
    !filters || wanted.matches_any(message.first()) != options.pattern.invert_matching
}

impl State {
    /// Takes in all that was read, as the pattern wants it.
    pub(super) fn admit_all(
        &mut self,
        index: usize,
        messages: &mut Vec<Message>,
        options: &Options,
    ) {
        let State { pattern, pipes, .. } = self;
        let pipe = &mut pipes[index];
        let read = messages.len();
        let taken_whole = pipe.keeps_all()
            && match pattern {
                Pattern::Sink | Pattern::Pair(_) | Pattern::RoundRobin { receives: true, .. } => {
                    true
                }
                Pattern::Subscriber { wanted, filters } => {
                    messages.retain(|message| lets_in(wanted, *filters, message, options));
                    true
                }
                // One whose identity was taken over is nobody any more, and is being cut.
                Pattern::Router(_) if !pipe.identity.is_empty() => {
                    let named = messages.iter_mut();
                    named.for_each(|message| message.push_front(pipe.identity.clone()));
                    true
                }
                _ => false,
            };
        if taken_whole {
            pipe.received.received += read as u64;
            pipe.received.dropped += (read - messages.len()) as u64;
            if !messages.is_empty() {
                pipe.incoming.append(messages);
                self.queue_up(index);
            }
            return;
        }
        for message in messages.drain(..) {
            self.admit(index, message, options);
        }
    }

    /// Takes in what a peer in this process sent, as far as there is room, where the pattern takes all.
    pub(super) fn admit_run(
        &mut self,
        index: usize,
        messages: &mut Plain,
        options: &Options,
    ) -> Progress {
        let pipe = &mut self.pipes[index];
        let takes_all = matches!(
            self.pattern,
            Pattern::Sink | Pattern::Pair(_) | Pattern::RoundRobin { receives: true, .. }
        );
        if !takes_all || !pipe.keeps_all() || pipe.incoming.is_paused() {
            return Progress::default();
        }
        let progress = messages.pass_to(&mut pipe.incoming, |one| !options.refuses(one));
        if progress.messages > 0 {
            pipe.received.received += progress.messages as u64;
            self.queue_up(index);
        }
        progress
    }

    /// Takes in a message that was read, as the pattern wants it.
    pub(super) fn admit(&mut self, index: usize, mut message: Message, options: &Options) {
        let admitted = match &mut self.pattern {
            Pattern::Sink | Pattern::Pair(_) => true,
            // Nobody receives from a PUSH: what its peers send would wait for ever (BI-70).
            Pattern::RoundRobin { receives, .. } => *receives,
            Pattern::Request { .. } => {
                return self.admit_reply(index, message, options.correlate);
            }
            Pattern::Reply(_) => {
                let whole = envelope::length(&message).is_some();
                message.push_front(self.pipes[index].identity.clone());
                whole
            }
            Pattern::Subscriber { wanted, filters } => lets_in(wanted, *filters, &message, options),
            Pattern::Router(_) => {
                let identity = self.pipes[index].identity.clone();
                // One whose identity was taken over is nobody any more, and is being cut.
                let known = !identity.is_empty();
                message.push_front(identity);
                known
            }
            Pattern::FanOut { shown, .. } => {
                let shown = *shown;
                // PF03: what a 3.0 peer subscribes to comes as a message.
                if let Some(subscription) = Subscription::from_message(&message) {
                    return self.apply_subscription(index, &subscription, options);
                }
                shown
            }
        };
        self.pipes[index].received.received += 1;
        if admitted {
            self.enqueue(index, message);
            self.pipes[index].time_last(options);
        } else {
            self.pipes[index].received.dropped += 1;
        }
    }

    /// Counts a subscription of a peer, and shows it to the application of an
    /// XPUB where it is the first or the last of its topic.
    pub(super) fn apply_subscription(
        &mut self,
        index: usize,
        subscription: &Subscription,
        options: &Options,
    ) {
        let Pattern::FanOut {
            subscriptions,
            shown,
        } = &mut self.pattern
        else {
            // BI-65.
            self.pipes[index].ignored_commands += 1;
            return;
        };
        if self.pipes[index].asks.is_some() {
            return self.apply_manually(index, subscription, &options.pattern.topics);
        }
        let shown = *shown;
        let level = options.pattern.shown;
        let (subscribes, topic, news) = match subscription {
            Subscription::Subscribe(topic) => {
                let limits = &options.pattern.topics;
                let full = subscriptions.len(index) >= limits.count
                    || subscriptions.octets(index) >= limits.octets
                    || topic.len() > limits.longest
                    || subscriptions.total() >= TOPICS_OF_ALL
                    || subscriptions.total_octets() >= TOPIC_OCTETS_OF_ALL;
                if full {
                    let reason = "more subscriptions than a peer may have".to_owned();
                    let link = self.pipes[index].link.as_ref();
                    link.inspect(|link| link.fail(LinkError::Protocol(reason)));
                    return;
                }
                let first = subscriptions.subscribe(index, topic) == Subscribed::First;
                let news = first || level >= Shown::Subscriptions;
                (true, topic, news)
            }
            Subscription::Cancel(topic) => {
                let news = match subscriptions.cancel(index, topic) {
                    Canceled::Last => true,
                    Canceled::Remaining => level == Shown::Everything,
                    Canceled::Unknown => false,
                };
                (false, topic, news)
            }
        };
        if !news || !shown {
            return;
        }
        if level == Shown::Changes {
            return self.tell_change(index, subscribes, topic);
        }
        self.say(index, subscription_message(subscribes, topic));
    }
}
