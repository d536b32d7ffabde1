//! The socket, as its sessions see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Link;
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::message::Message;
use crate::options::Credentials;
use crate::pipe::{Batch, Plain, Progress};
use crate::transport::WireName;
use crate::zmtp::{Command, Peer, encode_subscription};

/// A pipe of one socket. The serial number tells it from a later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PipeId {
    pub(crate) index: usize,
    pub(crate) serial: u64,
}

/// How far the end of a session has come; it only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The session goes on.
    Open,
    /// What is queued is written, then the session ends.
    Finishing,
    /// The session ends now.
    Closed,
}

/// Who asks for what waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The task that has just sent.
    Sender,
    /// Who flushes: what waits is all there is to say.
    Flush,
    /// The driver, at the beginning of its turn.
    Driver,
    /// The driver, which has written in this turn.
    DriverAgain,
    /// Who leads, for whichever pipe.
    Leader,
}

/// What a writer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The batch has something to write.
    Batch,
    /// A burst has begun: it is let grow until all that can run has run, who
    /// sends included.
    Growing,
    /// It goes on, and little of it is there: on the only thread it is let grow as when it began, on several
    /// for a turn more.
    Little,
    /// It is let grow for a turn more, or more may follow what was written.
    Waiting,
    /// Nothing waits. The driver is not needed any more: the next message is
    /// left to who sends it.
    Nothing,
}

/// A peer subscribes or cancels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    Subscribe(Bytes),
    Cancel(Bytes),
}

impl Subscription {
    /// What a message says that a 3.0 peer sends instead of a command (PF03);
    /// `None` where it is an ordinary message.
    pub(crate) fn from_message(message: &Message) -> Option<Self> {
        match Command::from_message(message)? {
            Command::Subscribe(topic) => Some(Self::Subscribe(topic)),
            Command::Cancel(topic) => Some(Self::Cancel(topic)),
            _ => None,
        }
    }

    /// Appends it to `octets`, as a peer of this version understands it (PF02, PF03).
    pub(crate) fn encode(&self, version: (u8, u8), octets: &mut Vec<u8>) {
        match self {
            Self::Subscribe(topic) => encode_subscription(version, true, topic, octets),
            Self::Cancel(topic) => encode_subscription(version, false, topic, octets),
        }
    }
}

/// Appends the answer to a PING with this context.
pub(crate) fn encode_pong(context: Bytes, octets: &mut Vec<u8>) {
    Command::Pong { context }.encode(octets);
}

/// A connection that has finished its handshake and asks for its pipe.
pub(crate) struct Attach<'a> {
    /// The pipe of the connected endpoint; `None` for an accepted connection.
    pub(crate) pipe: Option<PipeId>,
    /// The endpoint that was connected or bound.
    pub(crate) endpoint: &'a Arc<Endpoint>,
    /// The other end, for people to read.
    pub(crate) address: &'a str,
    /// The connection, as both its ends know it.
    pub(crate) wire: WireName,
    /// Whose process it is, where the system vouches for it.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) peer: &'a Peer,
}

/// What a write has left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing, and nobody needs to look.
    Nothing,
    /// The driver is to look whether something waits.
    Something,
    /// Commands that are not to wait for the rest of what was taken.
    Commands,
}

/// What a socket does for its sessions. Called from any thread; no method waits.
pub(crate) trait Port: Send + Sync {
    /// Joins a connection to its pipe. `link` makes the connection's end, once
    /// the pipe is known; it is called under the socket's lock.
    fn attach(
        &self,
        attach: Attach<'_>,
        link: &mut dyn FnMut(PipeId) -> Link,
    ) -> Result<Link, LinkError>;

    /// Whether another peer may come at present. It may have changed when it has shaken hands.
    fn has_place(&self) -> bool;

    /// The connection is gone; `unwritten` is what its writer had taken.
    fn detach(&self, pipe: PipeId, unwritten: Batch, reason: &LinkError);

    /// Moves what waits into the empty `batch`.
    fn take(&self, pipe: PipeId, batch: &mut Batch, writer: Writer) -> Taken;

    /// Whether the wire may be taking what was taken, or has refused it for now.
    fn writing(&self, pipe: PipeId, writing: bool);

    /// So much of what was taken is written, which leaves this of it: an empty batch may be exchanged for
    /// another. Returns what is left to do.
    fn written(&self, pipe: PipeId, progress: Progress, batch: &mut Batch) -> Left;

    /// Moves the commands into a batch that is being written.
    fn take_commands(&self, pipe: PipeId, batch: &mut Batch);

    /// So much of what was taken was given up: it had waited too long.
    fn expired(&self, pipe: PipeId, progress: Progress);

    /// Hands over what was received. Returns whether the link may be read on at once.
    fn deliver(&self, pipe: PipeId, messages: &mut Vec<Message>) -> bool;

    /// Takes over what a peer in this process sends, as far as there is room
    /// for it. Messages above this socket's limits are dropped and counted.
    fn accept(&self, pipe: PipeId, messages: &mut Plain) -> Progress;

    /// Hands over a subscription, in its place between the messages. Returns
    /// whether the link may be read on at once.
    fn subscription(&self, pipe: PipeId, subscription: Subscription) -> bool;

    /// A command of the peer was passed over.
    fn ignored(&self, pipe: PipeId);

    /// Queues an encoded command for the connection.
    fn command(&self, pipe: PipeId, write: &mut dyn FnMut(&mut Vec<u8>));

    /// Has a PONG with this context written, in place of one that waits (BI-52).
    fn pong(&self, pipe: PipeId, context: Bytes);

    /// The link has something to read: whoever waits to receive reads it, or who was woken and has not
    /// looked at all there is, or else the driver.
    fn readable(&self, pipe: PipeId);

    /// Whether the driver is to read: takes the link off the list of the readable ones.
    fn claim_readable(&self, pipe: PipeId) -> bool;

    /// Whether the link is left unread because its pipe is full.
    fn is_paused(&self, pipe: PipeId) -> bool;

    /// Whether the budget has no place for what the link would read: then it is left
    /// unread, and told as a readable one when that may have changed.
    fn starving(&self, pipe: PipeId, starving: bool);

    /// Gives back the memory of queues in which nothing waits.
    fn shed(&self, pipe: PipeId);

    /// Whether nothing waits to be written through this pipe any more.
    fn is_drained(&self, pipe: PipeId) -> bool;

    /// The endpoint is dialled no more.
    fn released(&self, endpoint: &Endpoint);

    /// The endpoint is free again.
    fn unbound(&self, endpoint: &Endpoint);

    /// An attempt to connect failed or its link ended: the next one comes after `wait`.
    fn retrying(&self, endpoint: &Endpoint, wait: Duration, reason: &LinkError);

    /// A connected endpoint is not tried again: its pipe ends, with what it holds.
    fn gave_up(&self, pipe: PipeId, endpoint: &Endpoint, reason: &LinkError);

    /// A peer that dialled in was turned away before it had a pipe.
    fn refused(&self, endpoint: &Endpoint, address: &str, reason: &LinkError);

    /// Accepting failed; it is tried again after `wait`.
    fn accept_failed(&self, endpoint: &Endpoint, wait: Duration, error: &std::io::Error);
}
