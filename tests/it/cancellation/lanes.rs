//! Two sockets of every pair of types that talks, one of which sends numbers to the other.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use futures::{Sink, Stream};
use pushsub::{
    Dealer, Message, Options, Overflow, Pair, PeerInfo, Pub, Pull, Push, Receipt, RecvError,
    Router, SendError, SendOptions, Stats, Sub, TryRecvError, TrySendError, XPub, XSub,
};
use tokio::task::yield_now;

use crate::support::{Result, assert_accounted};

/// Octets of a message: a few fill a wire in memory, and the buffers of `small`.
const OCTETS: usize = 20_000;

/// What is sent until the two have met.
const PROBE: u32 = 999_999;

/// A socket that sends, whichever it is.
pub(super) trait Sends: Sink<Message, Error = SendError> + Clone + Unpin {
    fn send(&self, message: Message) -> impl Future<Output = std::result::Result<(), SendError>>;
    fn send_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> impl Future<Output = std::result::Result<Receipt, SendError>>;
    fn try_send(&self, message: Message) -> std::result::Result<(), TrySendError>;
    fn connect(&self, endpoint: &pushsub::Endpoint) -> Result;
    fn stats(&self) -> Stats;
}

/// A socket that receives, whichever it is.
pub(super) trait Receives: Stream<Item = Message> + Clone + Unpin {
    fn recv(&self) -> impl Future<Output = std::result::Result<Message, RecvError>>;
    fn recv_from(
        &self,
    ) -> impl Future<Output = std::result::Result<(Message, Arc<PeerInfo>), RecvError>>;
    fn recv_many(
        &self,
        messages: &mut Vec<Message>,
        limit: usize,
    ) -> impl Future<Output = std::result::Result<usize, RecvError>>;
    fn try_recv(&self) -> std::result::Result<Message, TryRecvError>;
    fn bind(&self, endpoint: &str) -> impl Future<Output = Result<pushsub::Endpoint>>;
    fn stats(&self) -> Stats;
}

macro_rules! sends {
    ($($socket:ident)*) => {$(
        impl Sends for $socket {
            async fn send(&self, message: Message) -> std::result::Result<(), SendError> {
                self.send(message).await
            }
            async fn send_with(
                &self,
                message: Message,
                options: SendOptions,
            ) -> std::result::Result<Receipt, SendError> {
                self.send_with(message, options).await
            }
            fn try_send(&self, message: Message) -> std::result::Result<(), TrySendError> {
                self.try_send(message)
            }
            fn connect(&self, endpoint: &pushsub::Endpoint) -> Result {
                Ok(self.connect(endpoint)?)
            }
            fn stats(&self) -> Stats {
                self.stats()
            }
        }
    )*};
}

macro_rules! receives {
    ($($socket:ident)*) => {$(
        impl Receives for $socket {
            async fn recv(&self) -> std::result::Result<Message, RecvError> {
                self.recv().await
            }
            async fn recv_from(
                &self,
            ) -> std::result::Result<(Message, Arc<PeerInfo>), RecvError> {
                self.recv_from().await
            }
            async fn recv_many(
                &self,
                messages: &mut Vec<Message>,
                limit: usize,
            ) -> std::result::Result<usize, RecvError> {
                self.recv_many(messages, limit).await
            }
            fn try_recv(&self) -> std::result::Result<Message, TryRecvError> {
                self.try_recv()
            }
            async fn bind(&self, endpoint: &str) -> Result<pushsub::Endpoint> {
                Ok(self.bind(endpoint).await?)
            }
            fn stats(&self) -> Stats {
                self.stats()
            }
        }
    )*};
}

sends!(Push Dealer Pair Router Pub XPub XSub);
receives!(Pull Dealer Pair Router Sub XPub XSub);

/// One socket that sends numbers, and one that gets them.
pub(super) struct Lane<F, T> {
    pub(super) from: F,
    pub(super) to: T,
    /// The frames in front of the number.
    address: Option<&'static str>,
    /// Numbers whose send said that they were accepted, and those of which a sink did not say.
    accepted: BTreeSet<u32>,
    doubtful: BTreeSet<u32>,
    next: u32,
    received: Vec<u32>,
}

impl<F: Sends, T: Receives> Lane<F, T> {
    /// Joins the two, and waits until a message has passed.
    pub(super) async fn join(
        endpoint: &str,
        from: F,
        to: T,
        address: Option<&'static str>,
    ) -> Result<Self> {
        let endpoint = to.bind(endpoint).await?;
        from.connect(&endpoint)?;
        let lane = Self {
            from,
            to,
            address,
            accepted: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            next: 0,
            received: Vec::new(),
        };
        while lane.to.try_recv().is_err() {
            let _ = lane.from.try_send(lane.message(PROBE));
            for _ in 0..50 {
                yield_now().await;
            }
        }
        loop {
            for _ in 0..50 {
                yield_now().await;
            }
            if lane.to.try_recv().is_err() && lane.from.stats().sent.queued == 0 {
                return Ok(lane);
            }
        }
    }

    fn message(&self, number: u32) -> Message {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(OCTETS, 7);
        match self.address {
            Some(name) => [name.as_bytes().to_vec(), body].into(),
            None => body.into(),
        }
    }

    /// A message that was not sent before.
    pub(super) fn fresh(&mut self) -> (u32, Message) {
        let number = self.next;
        self.next += 1;
        (number, self.message(number))
    }

    /// The send of the last fresh message said that it was accepted.
    pub(super) fn accept(&mut self) {
        self.accepted.insert(self.next - 1);
    }

    /// A sink may have taken it, or not.
    pub(super) fn doubt(&mut self) {
        self.doubtful.insert(self.next - 1);
    }

    /// Sends a fresh message if there is room for it.
    pub(super) fn feed(&mut self) {
        let (_, message) = self.fresh();
        if self.from.try_send(message).is_ok() {
            self.accept();
        }
    }

    /// Takes note of what was received: it was sent, later than what came before.
    pub(super) fn check(&mut self, message: &Message) {
        let body = message.frames().last().expect("a message has a frame");
        assert_eq!(body.len(), OCTETS);
        let number = u32::from_be_bytes(body[..4].try_into().expect("four octets"));
        if let Some(last) = self.received.last() {
            assert!(number > *last, "{number} comes behind {last}");
        }
        assert!(
            self.accepted.contains(&number) || self.doubtful.contains(&number),
            "{number} was given up and sent even so"
        );
        self.received.push(number);
    }

    pub(super) fn drain(&mut self, most: usize) {
        for _ in 0..most {
            let Ok(message) = self.to.try_recv() else {
                return;
            };
            self.check(&message);
        }
    }

    /// Everything that was accepted has come, or was dropped for want of room where the type
    /// never waits; and the two go on.
    pub(super) async fn end(mut self, drops: bool) -> Result {
        loop {
            let dropped = self.from.stats().sent.dropped.full;
            assert!(drops || dropped == 0, "{dropped} were dropped");
            if self.received.len() as u64 + dropped >= self.accepted.len() as u64 {
                break;
            }
            let message = self.to.recv().await?;
            self.check(&message);
        }
        let (last, message) = self.fresh();
        self.accept();
        let from = self.from.clone();
        let hearing = async {
            while self.received.last() != Some(&last) {
                let message = self.to.recv().await?;
                self.check(&message);
            }
            Ok::<(), RecvError>(())
        };
        // What a sink was given, and did not say that it was sent, may be all that has room.
        let (sent, heard) = tokio::join!(from.send(message), hearing);
        sent?;
        heard?;
        let dropped = self.from.stats().sent.dropped.full;
        let received: BTreeSet<_> = self.received.iter().copied().collect();
        let lost: Vec<_> = self.accepted.difference(&received).collect();
        let unheard = self.doubtful.difference(&received).count();
        assert!(
            lost.len() as u64 <= dropped,
            "{lost:?} are lost, {dropped} were dropped"
        );
        assert!(dropped <= (lost.len() + unheard) as u64);
        assert_accounted(&self.from.stats());
        assert_accounted(&self.to.stats());
        Ok(())
    }
}

/// Options under which little fits, on the wire as well.
pub(super) fn narrow() -> Options {
    Options::default()
        .heartbeat_interval(None)
        .send_high_water_mark(2)
        .receive_high_water_mark(2)
        .send_buffer(8_192)
        .receive_buffer(8_192)
}

/// Of a publisher that waits for whoever has no room.
fn blocking() -> Options {
    narrow().overflow(Overflow::Block)
}

/// Calls a generic function with every lane, and an endpoint of this test for each.
macro_rules! with_every_lane {
    ($endpoint:expr, $function:ident($($argument:expr),*)) => {{
        use crate::cancellation::lanes;
        let mut endpoints = lanes::endpoints($endpoint);
        let mut endpoint = || endpoints.next().expect("they do not end");
        $function(lanes::push_to_pull(&endpoint()).await?, false, $($argument),*).await?;
        $function(lanes::dealer_to_router(&endpoint()).await?, false, $($argument),*).await?;
        $function(lanes::router_to_dealer(&endpoint()).await?, true, $($argument),*).await?;
        $function(lanes::pair_to_pair(&endpoint()).await?, false, $($argument),*).await?;
        $function(lanes::pub_to_sub(&endpoint()).await?, false, $($argument),*).await?;
        $function(lanes::xpub_to_xsub(&endpoint()).await?, false, $($argument),*).await?;
        $function(lanes::xsub_to_xpub(&endpoint()).await?, true, $($argument),*).await?;
    }};
}

pub(super) use with_every_lane;

/// Endpoints on the transport of the first, which is one of them.
pub(super) fn endpoints(first: &str) -> impl Iterator<Item = String> {
    let first = first.to_owned();
    (0..).map(move |number| match first.starts_with("tcp://") {
        true => first.clone(),
        false => format!("{first}-{number}"),
    })
}

pub(super) async fn push_to_pull(endpoint: &str) -> Result<Lane<Push, Pull>> {
    let (from, to) = (Push::with_options(narrow())?, Pull::with_options(narrow())?);
    Lane::join(endpoint, from, to, None).await
}

pub(super) async fn dealer_to_router(endpoint: &str) -> Result<Lane<Dealer, Router>> {
    let (from, to) = (
        Dealer::with_options(narrow())?,
        Router::with_options(narrow())?,
    );
    Lane::join(endpoint, from, to, None).await
}

pub(super) async fn router_to_dealer(endpoint: &str) -> Result<Lane<Router, Dealer>> {
    let options = narrow().identity(pushsub::Identity::new("dealer")?);
    let (from, to) = (
        Router::with_options(narrow())?,
        Dealer::with_options(options)?,
    );
    Lane::join(endpoint, from, to, Some("dealer")).await
}

pub(super) async fn pair_to_pair(endpoint: &str) -> Result<Lane<Pair, Pair>> {
    let (from, to) = (Pair::with_options(narrow())?, Pair::with_options(narrow())?);
    Lane::join(endpoint, from, to, None).await
}

pub(super) async fn pub_to_sub(endpoint: &str) -> Result<Lane<Pub, Sub>> {
    let (from, to) = (Pub::with_options(blocking())?, Sub::with_options(narrow())?);
    to.subscribe("");
    Lane::join(endpoint, from, to, None).await
}

pub(super) async fn xpub_to_xsub(endpoint: &str) -> Result<Lane<XPub, XSub>> {
    let (from, to) = (
        XPub::with_options(blocking())?,
        XSub::with_options(narrow())?,
    );
    to.subscribe("");
    Lane::join(endpoint, from, to, None).await
}

/// With a frame in front, as one that begins with 0 or 1 would be a subscription.
pub(super) async fn xsub_to_xpub(endpoint: &str) -> Result<Lane<XSub, XPub>> {
    let (from, to) = (XSub::with_options(narrow())?, XPub::with_options(narrow())?);
    Lane::join(endpoint, from, to, Some("up")).await
}
