//! Sides of a proxy that go one way only, as those of a streamer do.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Sink, SinkExt, Stream, StreamExt};

use crate::message::Message;

/// A side that only receives: a [`Pull`](crate::Pull), a [`Sub`](crate::Sub).
/// What the other side may send to it is dropped.
#[derive(Clone, Debug)]
pub struct Receiving<S>(pub(in crate::device) S);

impl<S> Receiving<S> {
    /// A side of this stream.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self(stream)
    }

    /// The stream.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.0
    }
}

impl<S: Stream + Unpin> Stream for Receiving<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl<S: Unpin> Sink<Message> for Receiving<S> {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, _: Message) -> Result<(), Infallible> {
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

/// A side that only sends: a [`Push`](crate::Push), a [`Pub`](crate::Pub).
/// Nothing ever comes from it.
#[derive(Clone, Debug)]
pub struct Sending<S>(pub(in crate::device) S);

impl<S> Sending<S> {
    /// A side of this sink.
    #[must_use]
    pub fn new(sink: S) -> Self {
        Self(sink)
    }

    /// The sink.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.0
    }
}

impl<S> Stream for Sending<S> {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Message>> {
        Poll::Ready(None)
    }
}

impl<S: Sink<Message> + Unpin> Sink<Message> for Sending<S> {
    type Error = S::Error;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready_unpin(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), S::Error> {
        self.0.start_send_unpin(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        self.0.poll_flush_unpin(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        self.0.poll_close_unpin(context)
    }
}
