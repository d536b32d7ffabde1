//! How peers come and go: what the routing knows of them, and what they are told first.

use bytes::Bytes;

use super::pattern::{OWN, Pattern, subscription_message};
use super::state::State;
use crate::error::LinkError;
use crate::options::Options;
use crate::session::{Attach, Phase, Subscription};

/// Makes the peer known to the routing. Returns the name by which it is known.
pub(super) fn join_pattern(
    state: &mut State,
    index: usize,
    attach: &Attach<'_>,
    options: &Options,
) -> Result<Bytes, LinkError> {
    let own_name = attach.peer.identity.as_ref();
    let known_as = || {
        own_name
            .map(|name| name.as_bytes().clone())
            .unwrap_or_default()
    };
    match &mut state.pattern {
        // The name that `connect_as` gave is registered already.
        Pattern::Router(_) if state.pipes[index].assigned => {
            Ok(state.pipes[index].identity.clone())
        }
        Pattern::Router(identities) => {
            let Some(name) = own_name else {
                return Ok(identities.draw(index));
            };
            if identities.insert(name, index).is_ok() {
                return Ok(known_as());
            }
            if !options.pattern.handover {
                return Err(LinkError::DuplicateIdentity);
            }
            let former = identities.replace(name, index);
            let former = former.and_then(|former| state.pipes.get_mut(former));
            if let Some(former) = former {
                former.identity = Bytes::new();
                former.assigned = false;
                // Its waker only queues the driver, which takes the lock later.
                let link = former.link.as_ref();
                link.inspect(|link| link.fail(LinkError::HandedOver));
            }
            Ok(known_as())
        }
        // The name is for replies: another connection of the same peer is another asker.
        Pattern::Reply(identities) => Ok(identities.draw(index)),
        Pattern::RoundRobin { peers, .. } | Pattern::Request { peers, .. } => {
            if attach.pipe.is_none() {
                peers.add(index);
            }
            // It may have had no room because nobody was there.
            peers.activate(index);
            Ok(known_as())
        }
        Pattern::Pair(peer) => {
            if *peer.get_or_insert(index) != index {
                return Err(LinkError::SecondPeer);
            }
            Ok(known_as())
        }
        _ => Ok(known_as()),
    }
}

/// The peer is gone: its name is free, its subscriptions end (XP06).
pub(super) fn leave_pattern(state: &mut State, index: usize) {
    let topics = match &mut state.pattern {
        Pattern::Router(_) if state.pipes[index].assigned && state.pipes[index].kept => return,
        Pattern::Router(identities) | Pattern::Reply(identities) => {
            identities.remove(&std::mem::take(&mut state.pipes[index].identity));
            return;
        }
        Pattern::RoundRobin { peers, .. } | Pattern::Request { peers, .. } => {
            // What the cut gave back may be less than what had filled the pipe.
            if state.pipes[index].has_room() {
                peers.activate(index);
            }
            return;
        }
        Pattern::FanOut {
            subscriptions,
            shown,
        } => {
            let ended = subscriptions.remove(index);
            // Who closes hears nothing more, and has not missed it.
            if !*shown || state.phase != Phase::Open {
                return;
            }
            // A manual one asked for other topics than it may have been granted.
            match &mut state.pipes[index].asks {
                Some(asks) => asks.end(),
                None => ended.map(Bytes::from).collect(),
            }
        }
        Pattern::Sink | Pattern::Subscriber { .. } | Pattern::Pair(_) => return,
    };
    for topic in topics {
        state.say(index, subscription_message(false, &topic));
    }
}

/// What the application is to hear when a connection has ended: of a ROUTER's
/// accepted peer that it is gone, of a DEALER's endpoint that it is dialled again.
pub(super) fn last_words(state: &mut State, index: usize, options: &Options) {
    if state.phase != Phase::Open {
        return;
    }
    let pipe = &mut state.pipes[index];
    let words = match pipe.kept {
        true => options.pattern.hiccup.clone(),
        // One whose identity was taken over is not gone to the application.
        false if pipe.identity.is_empty() => None,
        false => options.pattern.disconnect.clone().map(|mut words| {
            words.push_front(pipe.identity.clone());
            words
        }),
    };
    if let Some(words) = words {
        state.say(index, words);
    }
}

/// SUB: what a new connection is told first (SB06).
pub(super) fn subscriptions_to_send(state: &State, version: (u8, u8)) -> Vec<u8> {
    let mut commands = Vec::new();
    if let Pattern::Subscriber { wanted, .. } = &state.pattern {
        for topic in wanted.topics(OWN) {
            Subscription::Subscribe(topic.into()).encode(version, &mut commands);
        }
    }
    commands
}
