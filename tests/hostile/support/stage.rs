//! The stage of an attack: a victim, its canary, its monitor, and the attacker's end of a wire.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use pushsub::testing::{Listening, dial};
use pushsub::{Event, LinkError, Monitor, Options, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};

use super::canary::Canary;
use super::octets::{COMMAND, LONG, ping};
use super::victim::{Victim, soon};
use super::{Result, memory_name, settle};

/// Who dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The victim is bound, and the attacker dials it.
    Bound,
    /// The victim dials the attacker.
    Dials,
}

/// In which pieces the octets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    /// In two pieces, the first of so many octets.
    Split(usize),
    Octets,
}

/// What must become of the attacker's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Closed before it was a peer, within 100 ms.
    Refused,
    /// The same, and told why with an ERROR.
    RefusedWithError,
    /// Closed when the time for the handshake is over.
    Expired,
    /// One or the other.
    RefusedOrExpired,
    /// A peer, then cut within 100 ms.
    Cut,
    /// A peer that stays one.
    Stays,
    /// The same, and nothing of what it said was counted as a message.
    Ignored,
}

/// The time for the handshake in these tests.
pub(crate) const HANDSHAKE: Duration = Duration::from_millis(500);

/// From the offending octet to the end of the wire.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The options of a victim that are not those of every program: the time for the handshake.
pub(crate) fn options() -> Options {
    Options::default()
        .handshake_timeout(HANDSHAKE)
        .reconnect(Duration::from_millis(1), Duration::from_millis(20))
}

pub(crate) struct Stage {
    pub(crate) kind: SocketType,
    pub(crate) side: Side,
    pub(crate) victim: Victim,
    pub(crate) monitor: Monitor,
    canary: Option<Canary>,
    name: String,
    listening: Option<Listening>,
    /// Tasks of the runtime when nobody attacks.
    tasks: usize,
}

impl Stage {
    pub(crate) async fn new(kind: SocketType, side: Side, options: Options) -> Result<Self> {
        let mut stage = Self::lone(kind, side, options).await?;
        let endpoint = format!("memory://{}", stage.name);
        stage.canary = Canary::at(kind, &stage.victim, &endpoint).await?;
        settle().await;
        stage.accept_tasks();
        Ok(stage)
    }

    /// A stage without a canary.
    pub(crate) async fn lone(kind: SocketType, side: Side, options: Options) -> Result<Self> {
        let name = memory_name();
        let victim = Victim::new(kind, options)?;
        victim.bind(&format!("memory://{name}")).await?;
        let mut stage = Self {
            kind,
            side,
            monitor: victim.monitor(),
            victim,
            canary: None,
            name,
            listening: None,
            tasks: 0,
        };
        if side == Side::Dials {
            let attacker = memory_name();
            stage.listening = Some(Listening::bind(&attacker)?);
            stage.victim.connect(&format!("memory://{attacker}"))?;
        }
        settle().await;
        stage.accept_tasks();
        Ok(stage)
    }

    /// The tasks that there are now are those that belong there.
    pub(crate) fn accept_tasks(&mut self) {
        self.tasks = tasks();
    }

    /// The attacker's end of the next wire.
    pub(crate) async fn wire(&mut self) -> Result<DuplexStream> {
        match &mut self.listening {
            None => Ok(dial(&self.name)?),
            Some(listening) => Ok(soon("the victim dials", listening.accept()).await??),
        }
    }

    pub(crate) async fn round_trip(&mut self) -> Result {
        match &mut self.canary {
            Some(canary) => canary.round_trip(&self.victim).await,
            None => Ok(()),
        }
    }

    /// Plays one attack and checks that it ends as it must, and the canary lives.
    pub(crate) async fn attack(&mut self, octets: &[u8], delivery: Delivery, fate: Fate) -> Result {
        self.drain();
        let received = self.victim.stats().received.received;
        let mut wire = self.wire().await?;
        let since = Instant::now();
        deliver(&mut wire, octets, delivery).await;
        let end = self.end_of(&mut wire, fate).await?;
        if !matches!(fate, Fate::Cut | Fate::Stays)
            && self.victim.stats().received.received != received
        {
            return Err("something came through before the handshake ended".into());
        }
        self.round_trip().await?;
        self.check_time(fate, end.duration_since(since))?;
        drop(wire);
        self.check_events(fate).await?;
        self.round_trip().await?;
        self.check_tasks().await
    }

    /// Reads until the victim closes, or until it has answered where it is to stay.
    async fn end_of(&mut self, wire: &mut DuplexStream, fate: Fate) -> Result<Instant> {
        let limit = match fate {
            Fate::Refused | Fate::RefusedWithError | Fate::Cut => AT_ONCE,
            Fate::Expired | Fate::RefusedOrExpired => HANDSHAKE + AT_ONCE,
            Fate::Stays | Fate::Ignored => {
                answers_ping(wire).await?;
                return Ok(Instant::now());
            }
        };
        let mut told = Vec::new();
        timeout(limit, wire.read_to_end(&mut told))
            .await
            .map_err(|_| "the wire stays open")??;
        let error = told.windows(6).any(|octets| octets == b"\x05ERROR");
        if fate == Fate::RefusedWithError && !error {
            return Err(format!("no ERROR in {told:?}").into());
        }
        Ok(Instant::now())
    }

    fn check_time(&self, fate: Fate, lasted: Duration) -> Result {
        // A victim that dials has done so before the attacker accepts.
        let waited = if self.side == Side::Dials {
            AT_ONCE
        } else {
            Duration::from_millis(1)
        };
        if fate == Fate::Expired && lasted + waited < HANDSHAKE {
            return Err(format!("closed after {lasted:?}, before its time was over").into());
        }
        Ok(())
    }

    /// Exactly one event tells of a rejected link, by its reason.
    async fn check_events(&mut self, fate: Fate) -> Result {
        let events = self.events().await?;
        check_story(&events, self.side, fate)
    }

    /// The events up to the end of a link or of an attempt, and those that follow at once.
    pub(crate) async fn events(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let first = soon("an event", self.next_end(&mut events)).await;
        settle().await;
        while let Some(Some(event)) = self.monitor.next().now_or_never() {
            events.push(event);
        }
        first?;
        Ok(events)
    }

    /// Collects events up to the end of a link or of an attempt.
    async fn next_end(&mut self, events: &mut Vec<Event>) {
        while let Some(event) = self.monitor.next().await {
            let ended = is_end(&event, self.side);
            events.push(event);
            if ended {
                return;
            }
        }
    }

    /// A wire on which the attacker has shaken hands, what the victim said read.
    pub(crate) async fn peer(&mut self, octets: &[u8]) -> Result<DuplexStream> {
        let mut wire = self.wire().await?;
        wire.write_all(octets).await?;
        soon("the victim's greeting", wire.read_exact(&mut [0; 64])).await??;
        soon("the victim's READY", read_frame(&mut wire)).await??;
        Ok(wire)
    }

    /// Forgets the events so far.
    pub(crate) fn drain(&mut self) {
        while let Some(Some(_)) = self.monitor.next().now_or_never() {}
    }

    /// The tasks of the attack are gone.
    pub(crate) async fn check_tasks(&self) -> Result {
        for _ in 0..100 {
            if tasks() <= self.tasks {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err(format!("{} tasks in place of {}", tasks(), self.tasks).into())
    }

    /// The canary makes its hundred trips, and the books are in order.
    pub(crate) async fn finish(mut self) -> Result {
        for _ in 0..100 {
            self.round_trip().await?;
        }
        self.check_tasks().await?;
        let received = self.victim.stats().received;
        let accounted = received.delivered + received.dropped + received.queued;
        if received.received != accounted {
            return Err(format!("the books are wrong: {received:?}").into());
        }
        Ok(())
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Whether a link or an attempt to make one has ended.
pub(crate) fn is_end(event: &Event, side: Side) -> bool {
    match event {
        Event::Refused { .. } => true,
        Event::Disconnected { .. } => side == Side::Bound,
        Event::Retrying { .. } => side == Side::Dials,
        _ => false,
    }
}

/// The reasons of the ends that the events tell of, and how many peers there were.
fn check_story(events: &[Event], side: Side, fate: Fate) -> Result {
    let mut connected = 0;
    let mut reasons = Vec::new();
    for event in events {
        match event {
            Event::Connected { .. } => connected += 1,
            Event::Refused { reason, .. } if side == Side::Bound => reasons.push(reason),
            Event::Retrying { reason, .. } if side == Side::Dials => reasons.push(reason),
            Event::Disconnected { reason, .. } if side == Side::Bound => reasons.push(reason),
            _ => {}
        }
    }
    let as_it_must = match (fate, &reasons[..]) {
        (Fate::Refused | Fate::RefusedWithError, [reason]) => connected == 0 && is_refusal(reason),
        (Fate::Expired, [LinkError::HandshakeTimeout]) => connected == 0,
        (Fate::RefusedOrExpired, [reason]) => {
            connected == 0 && (is_refusal(reason) || **reason == LinkError::HandshakeTimeout)
        }
        (Fate::Cut, [reason]) => connected == 1 && is_offence(reason),
        (Fate::Stays | Fate::Ignored, [reason]) => {
            connected == 1 && matches!(reason, LinkError::ClosedByPeer | LinkError::Io(_))
        }
        _ => false,
    };
    if as_it_must {
        return Ok(());
    }
    Err(format!("the events tell otherwise: {events:?}").into())
}

fn is_refusal(reason: &LinkError) -> bool {
    matches!(
        reason,
        LinkError::Handshake(_) | LinkError::SecondPeer | LinkError::DuplicateIdentity
    )
}

fn is_offence(reason: &LinkError) -> bool {
    matches!(reason, LinkError::Protocol(_) | LinkError::PeerError(_))
}

/// Writes as the delivery says. A victim that closes early has heard enough.
pub(crate) async fn deliver(wire: &mut DuplexStream, octets: &[u8], delivery: Delivery) {
    match delivery {
        Delivery::Whole => {
            let _ = wire.write_all(octets).await;
        }
        Delivery::Split(at) => {
            let (first, second) = octets.split_at(at.min(octets.len()));
            let _ = wire.write_all(first).await;
            settle().await;
            let _ = wire.write_all(second).await;
        }
        Delivery::Octets => {
            for octet in octets.chunks(1) {
                if wire.write_all(octet).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The next frame: flags and body.
pub(crate) async fn read_frame(wire: &mut (impl AsyncReadExt + Unpin)) -> Result<(u8, Vec<u8>)> {
    let flags = wire.read_u8().await?;
    let length = match flags & LONG {
        0 => u64::from(wire.read_u8().await?),
        _ => wire.read_u64().await?,
    };
    let mut body = vec![0; usize::try_from(length)?];
    wire.read_exact(&mut body).await?;
    Ok((flags, body))
}

/// A peer answers a PING within 100 ms, behind whatever else it had to say.
async fn answers_ping(wire: &mut DuplexStream) -> Result {
    wire.write_all(&ping(0, b"still there?")).await?;
    let answer = async {
        let mut greeting = [0; 64];
        wire.read_exact(&mut greeting).await?;
        loop {
            let (flags, body) = read_frame(wire).await?;
            if flags & COMMAND != 0 && body == b"\x04PONGstill there?" {
                return Ok(());
            }
        }
    };
    timeout(AT_ONCE, answer)
        .await
        .map_err(|_| "no answer to a PING")?
}
