//! The capture of a proxy: copies for whoever watches, as far as there is room.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Sink, SinkExt};

use super::handle::Captured;
use super::poll_room;
use crate::message::Message;

/// A sink that is given copies and never waited for.
pub(in crate::device) struct Tap {
    sink: Pin<Box<dyn Sink<Message, Error = ()> + Send>>,
    captured: Captured,
    unflushed: bool,
}

impl Tap {
    pub(in crate::device) fn new<S>(sink: S) -> Self
    where
        S: Sink<Message> + Send + 'static,
    {
        Self {
            sink: Box::pin(sink.sink_map_err(drop)),
            captured: Captured::default(),
            unflushed: false,
        }
    }

    /// Gives it a copy if it has room.
    pub(super) fn offer(&mut self, context: &mut Context<'_>, message: &Message) {
        let has_room = matches!(poll_room(&mut self.sink, context), Poll::Ready(Ok(())));
        if has_room && self.sink.as_mut().start_send(message.clone()).is_ok() {
            self.captured.taken += 1;
            self.unflushed = true;
        } else {
            self.captured.dropped += 1;
        }
    }

    /// What it has taken goes on its way. Returns the counters.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) -> Captured {
        if self.unflushed {
            self.unflushed = self.sink.as_mut().poll_flush(context).is_pending();
        }
        self.captured
    }
}
