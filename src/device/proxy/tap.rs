//! The capture of a proxy: copies for whoever watches, as far as there is room.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::{Sink, SinkExt};
use tokio::task::unconstrained;

use super::handle::Captured;
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
        // That its task has had its turn does not mean that there is no room.
        let ready = unconstrained(poll_fn(|context| self.sink.as_mut().poll_ready(context)));
        let has_room = matches!(pin!(ready).poll(context), Poll::Ready(Ok(())));
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
