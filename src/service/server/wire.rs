//! The sockets of a server: PULL and PUB, or a DEALER behind a broker.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt;

use crate::discovery::Instance;
use crate::endpoint::Endpoint;
use crate::message::Message;
use crate::options::Options;
use crate::service::server::ServeError;
use crate::socket::{Dealer, Event, Monitor, Pub, Pull};

/// How many messages are taken in one turn.
const BATCH: usize = 256;

/// How many messages share a write: those who asked go on while others are answered.
const SHARE: usize = 32;

/// How long what is queued may be written when a server closes.
const LINGER: Duration = Duration::from_secs(1);

/// What a server hears and says.
#[derive(Debug)]
pub(in crate::service) struct Wire {
    sockets: Sockets,
    /// What was received and not yet read.
    pub(super) messages: Vec<Message>,
    /// Messages that were sent and are not written.
    unwritten: usize,
}

#[derive(Debug)]
enum Sockets {
    Direct {
        requests: Pull,
        responses: Pub,
        instance: Instance,
    },
    Worker {
        dealer: Dealer,
        monitor: Monitor,
        broker: Endpoint,
        options: Options,
    },
}

/// What happened on the wire.
#[derive(Debug)]
pub(super) enum Heard {
    /// `Wire::messages` has something.
    Messages,
    /// The link to the broker was made.
    LinkUp,
    /// The link to the broker was cut.
    LinkCut,
}

impl Wire {
    /// Binds the two sockets of an instance.
    pub(super) async fn bind(
        requests: Endpoint,
        responses: Endpoint,
        options: Options,
    ) -> Result<Self, ServeError> {
        let mut pull = Pull::of(options.clone());
        pull.attend();
        // Above any client's window, so that what it may have outstanding is never dropped.
        let options = options
            .send_high_water_mark(10_000)
            .send_high_water_mark_bytes(64 << 20);
        let publisher = Pub::of(options);
        let responses = publisher.bind(responses).await?;
        let requests = pull.bind(requests).await?;
        let instance = Instance::new(requests, responses)?;
        Ok(Self::of(Sockets::Direct {
            requests: pull,
            responses: publisher,
            instance,
        }))
    }

    /// Connects to the ROUTER of a broker.
    pub(super) fn connect(broker: Endpoint, options: Options) -> Result<Self, ServeError> {
        // Answers are bounded by the credit: what a handler made is never dropped here.
        let options = options
            .send_high_water_mark(1 << 20)
            .send_high_water_mark_bytes(usize::MAX >> 1)
            .reconnect(Duration::from_millis(50), Duration::from_secs(1))
            .linger(Duration::ZERO);
        let (dealer, monitor) = dial(&broker, &options)?;
        Ok(Self::of(Sockets::Worker {
            dealer,
            monitor,
            broker,
            options,
        }))
    }

    fn of(sockets: Sockets) -> Self {
        Self {
            sockets,
            messages: Vec::with_capacity(BATCH),
            unwritten: 0,
        }
    }

    pub(super) fn instance(&self) -> Option<Instance> {
        match &self.sockets {
            Sockets::Direct { instance, .. } => Some(instance.clone()),
            Sockets::Worker { .. } => None,
        }
    }

    /// What happens next. Cancel safe: what was received stays in `messages`.
    pub(super) async fn heard(&mut self) -> Heard {
        poll_fn(|context| self.poll_heard(context)).await
    }

    fn poll_heard(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        let messages = &mut self.messages;
        // Nobody else has these sockets: they are open as long as this is.
        let received = match &mut self.sockets {
            Sockets::Direct { requests, .. } => requests.poll_recv_many(context, messages, BATCH),
            Sockets::Worker {
                dealer, monitor, ..
            } => {
                if let Poll::Ready(heard) = poll_link(monitor, context) {
                    return Poll::Ready(heard);
                }
                dealer.poll_recv_many(context, messages, BATCH)
            }
        };
        match received {
            Poll::Ready(Ok(_)) => Poll::Ready(Heard::Messages),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Takes what is there without waiting.
    pub(super) fn read_all(&mut self) {
        // Clients that go on must not keep a server from its end.
        for _ in 0..64 * BATCH {
            let received = match &self.sockets {
                Sockets::Direct { requests, .. } => requests.try_recv(),
                Sockets::Worker { dealer, .. } => dealer.try_recv(),
            };
            match received {
                Ok(message) => self.messages.push(message),
                Err(_) => return,
            }
        }
    }

    /// Sends without waiting. It is written with the next [`flush`](Self::flush), or with others
    /// as soon as they are many. What has no room is dropped, which the numbers of the answers
    /// show to the client.
    pub(super) fn send(&mut self, message: Message) {
        let sent = match &self.sockets {
            Sockets::Direct { responses, .. } => responses.try_feed(message),
            Sockets::Worker { dealer, .. } => dealer.try_feed(message),
        };
        match sent {
            Ok(()) => self.unwritten += 1,
            Err(error) => tracing::warn!(%error, "an answer could not be sent"),
        }
        if self.unwritten == SHARE {
            self.flush();
        }
    }

    pub(super) fn has_unwritten(&self) -> bool {
        self.unwritten > 0
    }

    /// Writes what was sent.
    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.unwritten) > 0 {
            match &self.sockets {
                Sockets::Direct { responses, .. } => responses.flush_fed(),
                Sockets::Worker { dealer, .. } => dealer.flush_fed(),
            }
        }
    }

    /// Leaves the link to the broker behind, with all that was not written, and makes a new one.
    pub(super) fn reconnect(&mut self) {
        let Sockets::Worker {
            dealer,
            monitor,
            broker,
            options,
        } = &mut self.sockets
        else {
            return;
        };
        match dial(broker, options) {
            Ok((fresh, events)) => {
                (*dealer, *monitor) = (fresh, events);
                self.unwritten = 0;
            }
            Err(error) => tracing::error!(%error, "the broker cannot be dialled again"),
        }
    }

    /// Writes what is queued, answers first, and closes.
    pub(super) async fn close(self) {
        match self.sockets {
            Sockets::Direct {
                mut requests,
                responses,
                ..
            } => {
                // A client that goes meanwhile is noticed by who reads.
                requests.rest();
                responses.close(LINGER).await;
                requests.close(Duration::ZERO).await;
            }
            Sockets::Worker { mut dealer, .. } => {
                dealer.rest();
                dealer.close(LINGER).await;
            }
        }
    }
}

fn dial(broker: &Endpoint, options: &Options) -> Result<(Dealer, Monitor), ServeError> {
    let mut dealer = Dealer::of(options.clone());
    dealer.attend();
    let monitor = dealer.monitor();
    dealer.connect(broker)?;
    Ok((dealer, monitor))
}

fn poll_link(monitor: &mut Monitor, context: &mut Context<'_>) -> Poll<Heard> {
    loop {
        match ready!(monitor.poll_next_unpin(context)) {
            Some(Event::Connected { .. }) => return Poll::Ready(Heard::LinkUp),
            Some(Event::Disconnected { .. }) => return Poll::Ready(Heard::LinkCut),
            Some(_) => {}
            None => return Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::{SHARE, Wire};
    use crate::message::Message;
    use crate::options::Options;
    use crate::socket::Sub;

    /// A server's sockets, and one that hears what it publishes.
    async fn heard(name: &str) -> (Wire, Sub) {
        let [requests, responses] = ["requests", "responses"].map(|what| {
            let endpoint = format!("memory://{name}-{what}");
            endpoint.parse().expect("an endpoint")
        });
        let sub = Sub::new();
        sub.subscribe("");
        sub.connect(&responses).expect("an endpoint");
        let wire = Wire::bind(requests, responses, Options::default()).await;
        let mut wire = wire.expect("a free name");
        while sub.try_recv().is_err() {
            wire.send(Message::from("are you there?"));
            wire.flush();
            yield_now().await;
        }
        while sub.try_recv().is_ok() {}
        (wire, sub)
    }

    /// Sends so many messages and returns how many have come without a flush.
    async fn sent(wire: &mut Wire, sub: &Sub, count: usize) -> usize {
        (0..count).for_each(|_| wire.send(Message::from("!")));
        for _ in 0..50 {
            yield_now().await;
        }
        std::iter::from_fn(|| sub.try_recv().ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_is_written_with_the_next_flush() {
        let (mut wire, sub) = heard("flush").await;
        assert_eq!(sent(&mut wire, &sub, 3).await, 0);
        wire.flush();
        assert_eq!(sent(&mut wire, &sub, 0).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn many_messages_do_not_wait_for_a_flush() {
        let (mut wire, sub) = heard("many").await;
        assert_eq!(sent(&mut wire, &sub, SHARE + 1).await, SHARE);
    }
}
