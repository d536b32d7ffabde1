//! The front of a forwarder: a SUB that is told its topics by messages, as an XSUB is.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Sink, Stream, StreamExt};

use crate::message::Message;
use crate::socket::Sub;

/// Receives publications; is sent what an XPUB receives: an octet of 1
/// (subscribe) or 0 (cancel), and the topic. Other messages have nobody to go
/// to and are dropped.
#[derive(Debug)]
pub struct Upstream(Sub);

impl Upstream {
    pub(super) fn new(subscriber: Sub) -> Self {
        Self(subscriber)
    }
}

impl Stream for Upstream {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0.poll_next_unpin(context)
    }
}

impl Sink<Message> for Upstream {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Infallible> {
        let frame = message.first();
        match frame.first() {
            Some(1) => self.0.subscribe(frame.slice(1..)),
            Some(0) => self.0.unsubscribe(frame.slice(1..)),
            _ => tracing::debug!("a message of a subscriber is no subscription"),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}
