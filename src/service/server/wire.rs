//! The sockets of a server: PULL and PUB, or a DEALER behind a broker.

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

/// How long what is queued may be written when a server closes.
const LINGER: Duration = Duration::from_secs(1);

/// What a server hears and says.
#[derive(Debug)]
pub(in crate::service) struct Wire {
    sockets: Sockets,
    /// What was received and not yet read.
    pub(super) messages: Vec<Message>,
    /// Something was sent that is not written.
    pub(super) fed: bool,
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
        let pull = Pull::of(options.clone());
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
            fed: false,
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
        let messages = &mut self.messages;
        let received = match &mut self.sockets {
            Sockets::Direct { requests, .. } => requests.recv_many(messages, BATCH).await,
            Sockets::Worker {
                dealer, monitor, ..
            } => {
                tokio::select! {
                    received = dealer.recv_many(messages, BATCH) => received,
                    heard = link_event(monitor) => return heard,
                }
            }
        };
        match received {
            Ok(_) => Heard::Messages,
            // Nobody else has these sockets: they are open as long as this is.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes what is there without waiting.
    pub(super) fn read_all(&mut self) {
        loop {
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

    /// Sends without waiting, with the next [`flush`](Self::flush). What has no room is
    /// dropped, which the numbers of the answers show to the client.
    pub(super) fn send(&mut self, message: Message) {
        let sent = match &self.sockets {
            Sockets::Direct { responses, .. } => responses.try_feed(message),
            Sockets::Worker { dealer, .. } => dealer.try_feed(message),
        };
        match sent {
            Ok(()) => self.fed = true,
            Err(error) => tracing::warn!(%error, "an answer could not be sent"),
        }
    }

    /// Writes what was sent.
    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.fed) {
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
            Ok((fresh, events)) => (*dealer, *monitor) = (fresh, events),
            Err(error) => tracing::error!(%error, "the broker cannot be dialled again"),
        }
    }

    /// Writes what is queued, answers first, and closes.
    pub(super) async fn close(self) {
        match self.sockets {
            Sockets::Direct {
                requests,
                responses,
                ..
            } => {
                responses.close(LINGER).await;
                requests.close(Duration::ZERO).await;
            }
            Sockets::Worker { dealer, .. } => {
                dealer.close(LINGER).await;
            }
        }
    }
}

fn dial(broker: &Endpoint, options: &Options) -> Result<(Dealer, Monitor), ServeError> {
    let dealer = Dealer::of(options.clone());
    let monitor = dealer.monitor();
    dealer.connect(broker)?;
    Ok((dealer, monitor))
}

async fn link_event(monitor: &mut Monitor) -> Heard {
    loop {
        match monitor.next().await {
            Some(Event::Connected { .. }) => return Heard::LinkUp,
            Some(Event::Disconnected { .. }) => return Heard::LinkCut,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}
