//! The NULL handshake: greetings cross, READY crosses, and each side knows whom it talks to.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use crate::options::{Identity, SocketType};
use crate::zmtp::command::{Command, CommandError};
use crate::zmtp::frame::{FrameError, Header};
use crate::zmtp::greeting::{self, Greeting, GreetingError};
use crate::zmtp::metadata::{IDENTITY, Metadata, SOCKET_TYPE};

/// The handshake of one link, the same in both roles.
///
/// ```text
///  ExpectGreeting ──greeting──▶ ExpectReady ──READY──▶ Over
///        │                          │                   ▲
///        └────────── error ─────────┴───────────────────┘
/// ```
///
/// After each `receive`, drain `outgoing` and write it: also after an error,
/// for the peer may be owed the reason.
#[derive(Debug)]
pub(crate) struct Handshake {
    local: Local,
    state: State,
    /// What is to be written next.
    outgoing: Vec<u8>,
}

/// What we say of ourselves.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// The type of our socket.
    pub(crate) socket_type: SocketType,
    /// The name by which a ROUTER at the other end shall know us.
    pub(crate) identity: Option<Identity>,
    /// Properties of the application: names that were checked, and values.
    pub(crate) metadata: Arc<[(String, Bytes)]>,
}

/// What the peer said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Major and minor version of its ZMTP.
    pub(crate) version: (u8, u8),
    /// A type that ours may talk to.
    pub(crate) socket_type: SocketType,
    /// The name it brings, where that means something: from a REQ, DEALER or
    /// ROUTER to a ROUTER.
    pub(crate) identity: Option<Identity>,
    /// All properties of its READY.
    pub(crate) properties: Metadata,
}

/// Why a link never carries a message. It is to be closed once `outgoing` is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// Another protocol, version or mechanism.
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    /// A header is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A command is malformed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A message came before READY.
    #[error("the peer sent a message before its READY")]
    MessageBeforeReady,
    /// Something else than READY or ERROR came.
    #[error("the peer sent another command before its READY")]
    UnexpectedCommand,
    /// A READY of more octets than a link may cost before it is one.
    #[error("the peer announced a READY of {0} octets, and 8 KiB is the most")]
    TooBig(u64),
    /// The peer's socket type is missing, unknown, or not one that ours may
    /// talk to. It is told so.
    #[error("a {local} socket does not talk to a peer of type {peer}")]
    SocketType {
        /// Ours.
        local: SocketType,
        /// What the peer says, made printable.
        peer: String,
    },
    /// An identity begins with zero or has more than 255 octets.
    #[error("the peer's identity begins with a zero octet or has more than 255")]
    Identity,
    /// The peer refused us, for this reason: a new attempt will not fare
    /// better by itself (37/ZMTP: an ERROR is fatal).
    #[error("the peer refused the connection: {0}")]
    Refused(String),
}

/// The most octets of a command before the handshake ends.
const MAX_READY: u64 = 8 << 10;

#[derive(Clone, Copy, Debug)]
enum State {
    ExpectGreeting,
    ExpectReady { version: (u8, u8) },
    Over,
}

impl Handshake {
    /// The handshake of a link on which nothing was read or written yet.
    pub(crate) fn new(local: Local) -> Self {
        Self {
            local,
            state: State::ExpectGreeting,
            outgoing: greeting::OURS.to_vec(),
        }
    }

    /// Drains what must be sent next: empty where that is nothing.
    pub(crate) fn outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Takes the peer's part of the handshake off `input`, and leaves what
    /// follows it there. Returns the peer once, when its READY is read; `None`
    /// asks for more octets.
    pub(crate) fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Peer>, HandshakeError> {
        let outcome = self.step(input);
        if !matches!(outcome, Ok(None)) {
            self.state = State::Over;
        }
        outcome
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Option<Peer>, HandshakeError> {
        if let State::ExpectGreeting = self.state {
            let Some(Greeting { version }) = Greeting::parse(input)? else {
                return Ok(None);
            };
            input.advance(greeting::LENGTH);
            // 23/ZMTP: each peer shall send its READY before it waits for the
            // other's. 37/ZMTP lets a server wait, which no peer can tell.
            self.ready().encode(&mut self.outgoing);
            self.state = State::ExpectReady { version };
        }
        let State::ExpectReady { version } = self.state else {
            return Ok(None);
        };
        let Some((header, size)) = Header::parse(input)? else {
            return Ok(None);
        };
        if !header.command {
            return Err(HandshakeError::MessageBeforeReady);
        }
        if header.length > MAX_READY {
            return Err(HandshakeError::TooBig(header.length));
        }
        let end = size + header.length as usize;
        if input.len() < end {
            return Ok(None);
        }
        let body = input.split_to(end).freeze().slice(size..);
        match Command::parse(&body)? {
            Command::Ready(properties) => self.meet(version, properties).map(Some),
            Command::Error(reason) => Err(HandshakeError::Refused(reason)),
            _ => Err(HandshakeError::UnexpectedCommand),
        }
    }

    /// Our READY.
    fn ready(&self) -> Command {
        let mut properties = Metadata::default();
        properties.insert(SOCKET_TYPE, self.local.socket_type.name().into());
        if let Some(identity) = &self.local.identity
            && brings_identity(self.local.socket_type)
        {
            properties.insert(IDENTITY, identity.as_bytes().clone());
        }
        for (name, value) in self.local.metadata.iter() {
            properties.insert(name, value.clone());
        }
        Command::Ready(properties)
    }

    fn meet(&mut self, version: (u8, u8), properties: Metadata) -> Result<Peer, HandshakeError> {
        let name = properties
            .property(SOCKET_TYPE)
            .cloned()
            .unwrap_or_default();
        let local = self.local.socket_type;
        let Some(socket_type) = SocketType::from_name(&name).filter(|peer| local.accepts(*peer))
        else {
            let fault = Command::Error(format!("a {local} socket does not talk to this type"));
            fault.encode(&mut self.outgoing);
            let peer = name.iter().take(16).copied();
            let peer = peer
                .flat_map(std::ascii::escape_default)
                .map(char::from)
                .collect();
            return Err(HandshakeError::SocketType { local, peer });
        };
        let identity = match properties.property(IDENTITY) {
            // 37/ZMTP: the identity is for a ROUTER, and ignored by all others.
            Some(identity)
                if local == SocketType::Router
                    && brings_identity(socket_type)
                    && !identity.is_empty() =>
            {
                let identity = Identity::new(identity.clone());
                Some(identity.map_err(|_| HandshakeError::Identity)?)
            }
            _ => None,
        };
        Ok(Peer {
            version,
            socket_type,
            identity,
            properties,
        })
    }
}

/// Whether an identity means something from a socket of this type (37/ZMTP).
fn brings_identity(socket_type: SocketType) -> bool {
    matches!(
        socket_type,
        SocketType::Req | SocketType::Dealer | SocketType::Router
    )
}

#[cfg(test)]
mod tests;
