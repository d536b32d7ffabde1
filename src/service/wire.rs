//! The control frame of a service message: 72 octets of head, then three names.

use std::fmt;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

/// The version of the protocol that is spoken here.
pub(crate) const VERSION: u8 = 0x01;

/// The hops that a client gives a request.
pub(crate) const HOPS: u8 = 8;

/// Octets before the names.
const HEAD: usize = 72;

/// A time left of none.
const NO_DEADLINE: u64 = u64::MAX;

// Offsets into the head, as in the table of docs/protocol.md.
const AT_KIND: usize = 1;
const AT_FLAGS: usize = 2;
const AT_CODEC: usize = 4;
const AT_HOPS: usize = 5;
const AT_ATTEMPT: usize = 6;
const AT_NONCE: usize = 8;
const AT_COUNTER: usize = 16;
const AT_SEQUENCE: usize = 24;
const AT_EPOCH: usize = 32;
const AT_TIME_LEFT: usize = 40;
const AT_STAMP: usize = 48;
const AT_STATUS: usize = 56;
const AT_WINDOW: usize = 60;
const AT_WINDOW_BYTES: usize = 64;

/// What the control frame says, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    /// How the payload is encoded.
    pub(crate) codec: Codec,
    /// How many brokers may still hand it on.
    pub(crate) hops: u8,
    /// 0 for the first time, one more for each time it is sent again.
    pub(crate) attempt: u16,
    pub(crate) id: RequestId,
    /// Counts the responses and errors of an instance to one nonce, from 1.
    pub(crate) sequence: u64,
    /// The life of the instance or worker that it comes from or is meant for.
    pub(crate) epoch: u64,
    /// Time left to the deadline when it was sent; `None`: there is no deadline.
    pub(crate) time_left: Option<Duration>,
    /// The sender's monotonic clock in µs when it was sent; 0: none.
    pub(crate) stamp: u64,
    pub(crate) status: Status,
    /// A client's window, or the credit of an instance or worker, in messages.
    pub(crate) window: u32,
    /// A client's window in octets.
    pub(crate) window_bytes: u64,
    pub(crate) service: Name,
    pub(crate) method: Name,
    pub(crate) key: Key,
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Request = 0x01,
    Response = 0x02,
    /// Reserved for streams.
    Partial = 0x03,
    /// Reserved for streams.
    Final = 0x04,
    Error = 0x05,
    Cancel = 0x06,
    /// Reserved for streams.
    Credit = 0x07,
    Probe = 0x08,
    Hello = 0x09,
    Goodbye = 0x0A,
}

/// The flags that this version knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Running the request twice does no harm (0x0001).
    pub(crate) idempotent: bool,
}

/// How a payload is encoded. A broker hands on codecs that it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codec(pub(crate) u8);

/// How a request ended.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Status(pub(crate) u16);

/// The id of a request: the nonce of the client handle that made it, and that
/// handle's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    /// Drawn at random when the client handle was made.
    pub nonce: u64,
    /// Counts what this handle has sent, from 1.
    pub counter: u64,
}

/// The name of a service or method: at most 255 octets of UTF-8.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(Bytes);

/// The key of a request: at most 65,535 octets, none for no key.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(Bytes);

/// Why octets are no control frame, or frames no envelope. The fault of who
/// sent them; nothing was changed by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// A service message has four frames.
    #[error("{0} frames where a service message has four")]
    Frames(usize),
    /// Neither empty nor a client id and its final 0x00.
    #[error("the topic is no client id with a final zero")]
    Topic,
    /// Another version of the protocol.
    #[error("version {0} of the service protocol is unknown here")]
    Version(u8),
    /// A kind of a later version of the same protocol: to be ignored and counted.
    #[error("kind {0:#04x} is unknown here")]
    Kind(u8),
    /// The control frame ends before its fields do.
    #[error("the control frame is truncated")]
    Truncated,
    /// The control frame goes on after its last field.
    #[error("the control frame has octets after its last field")]
    Trailing,
    /// A service or method that is no UTF-8.
    #[error("the name of the service or method is no UTF-8")]
    Utf8,
}

/// Why octets cannot be a service, a method or a key. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a service or method has at most 255 octets of UTF-8, a key at most 65,535 octets")]
pub(crate) struct NameError;

impl Control {
    /// A frame of this kind with everything else zero, none or empty.
    pub(crate) fn new(kind: Kind, id: RequestId, service: Name) -> Self {
        Self {
            kind,
            flags: Flags::default(),
            codec: Codec::RAW,
            hops: HOPS,
            attempt: 0,
            id,
            sequence: 0,
            epoch: 0,
            time_left: None,
            stamp: 0,
            status: Status::OK,
            window: 0,
            window_bytes: 0,
            service,
            method: Name::default(),
            key: Key::default(),
        }
    }

    /// The octets of the frame.
    pub(crate) fn encode(&self) -> Bytes {
        let names = self.service.0.len() + self.method.0.len() + self.key.0.len();
        let mut out = BytesMut::with_capacity(HEAD + 4 + names);
        out.put_u8(VERSION);
        out.put_u8(self.kind as u8);
        out.put_u16(self.flags.to_bits());
        out.put_u8(self.codec.0);
        out.put_u8(self.hops);
        out.put_u16(self.attempt);
        out.put_u64(self.id.nonce);
        out.put_u64(self.id.counter);
        out.put_u64(self.sequence);
        out.put_u64(self.epoch);
        out.put_u64(micros_left(self.time_left));
        out.put_u64(self.stamp);
        out.put_u16(self.status.0);
        out.put_u16(0);
        out.put_u32(self.window);
        out.put_u64(self.window_bytes);
        for name in [&self.service, &self.method] {
            out.put_u8(u8::try_from(name.0.len()).expect("a name has at most 255 octets"));
            out.put_slice(&name.0);
        }
        out.put_u16(u16::try_from(self.key.0.len()).expect("a key has at most 65,535 octets"));
        out.put_slice(&self.key.0);
        out.freeze()
    }

    /// Reads a frame; its names share the frame's memory.
    pub(crate) fn decode(frame: &Bytes) -> Result<Self, WireError> {
        // The version comes first: only it says what the rest means.
        let version = *frame.first().ok_or(WireError::Truncated)?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let octet = *frame.get(AT_KIND).ok_or(WireError::Truncated)?;
        let kind = Kind::from_octet(octet).ok_or(WireError::Kind(octet))?;
        let head = Head::of(frame)?;
        let mut names = frame.slice(HEAD..);
        let service = Name::new(take_name(&mut names)?).map_err(|_| WireError::Utf8)?;
        let method = Name::new(take_name(&mut names)?).map_err(|_| WireError::Utf8)?;
        let key = Key(take_key(&mut names)?);
        if !names.is_empty() {
            return Err(WireError::Trailing);
        }
        Ok(Self {
            kind,
            flags: Flags::from_bits(head.u16(AT_FLAGS)),
            codec: Codec(head.0[AT_CODEC]),
            hops: head.0[AT_HOPS],
            attempt: head.u16(AT_ATTEMPT),
            id: head.id(),
            sequence: head.u64(AT_SEQUENCE),
            epoch: head.u64(AT_EPOCH),
            time_left: match head.u64(AT_TIME_LEFT) {
                NO_DEADLINE => None,
                micros => Some(Duration::from_micros(micros)),
            },
            stamp: head.u64(AT_STAMP),
            status: Status(head.u16(AT_STATUS)),
            window: head.u32(AT_WINDOW),
            window_bytes: head.u64(AT_WINDOW_BYTES),
            service,
            method,
            key,
        })
    }
}

/// Whom to answer when a frame cannot be read. `None` where it is too short to
/// say, or of a kind that nobody answers.
pub(crate) fn salvage(frame: &Bytes) -> Option<(Kind, RequestId)> {
    skim(frame).filter(|(kind, _)| matches!(kind, Kind::Request | Kind::Probe))
}

/// What can be read of a frame of any version: kind, nonce and counter keep
/// their places in all. `None` where it is not even that long.
pub(crate) fn skim(frame: &Bytes) -> Option<(Kind, RequestId)> {
    let kind = Kind::from_octet(*frame.get(AT_KIND)?)?;
    let nonce = frame.get(AT_NONCE..AT_NONCE + 8)?;
    let counter = frame.get(AT_COUNTER..AT_COUNTER + 8)?;
    let id = RequestId {
        nonce: u64::from_be_bytes(nonce.try_into().ok()?),
        counter: u64::from_be_bytes(counter.try_into().ok()?),
    };
    Some((kind, id))
}

impl Kind {
    fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            0x01 => Self::Request,
            0x02 => Self::Response,
            0x03 => Self::Partial,
            0x04 => Self::Final,
            0x05 => Self::Error,
            0x06 => Self::Cancel,
            0x07 => Self::Credit,
            0x08 => Self::Probe,
            0x09 => Self::Hello,
            0x0A => Self::Goodbye,
            _ => return None,
        })
    }
}

impl Flags {
    const IDEMPOTENT: u16 = 0x0001;

    fn to_bits(self) -> u16 {
        if self.idempotent { Self::IDEMPOTENT } else { 0 }
    }

    fn from_bits(bits: u16) -> Self {
        Self {
            idempotent: bits & Self::IDEMPOTENT != 0,
        }
    }
}

impl Codec {
    pub(crate) const RAW: Self = Self(0x00);
    pub(crate) const MESSAGE_PACK: Self = Self(0x01);
}

impl Status {
    pub(crate) const OK: Self = Self(0x0000);

    // Never executed.
    pub(crate) const OVERLOADED: Self = Self(0x0010);
    pub(crate) const EXPIRED: Self = Self(0x0011);
    pub(crate) const NO_SUCH_METHOD: Self = Self(0x0012);
    pub(crate) const NO_SUCH_SERVICE: Self = Self(0x0013);
    pub(crate) const NO_INSTANCE: Self = Self(0x0014);
    pub(crate) const MALFORMED: Self = Self(0x0015);
    pub(crate) const VERSION_MISMATCH: Self = Self(0x0016);
    pub(crate) const STOPPING: Self = Self(0x0017);
    pub(crate) const TOO_MANY_HOPS: Self = Self(0x0018);

    // May have been executed.
    pub(crate) const WORKER_LOST: Self = Self(0x0020);
    pub(crate) const DEADLINE_PASSED: Self = Self(0x0021);
    pub(crate) const CANCELLED: Self = Self(0x0022);
    pub(crate) const GAP: Self = Self(0x0023);

    // Executed, and the handler said no.
    pub(crate) const HANDLER_ERROR: Self = Self(0x0030);
    pub(crate) const HANDLER_PANICKED: Self = Self(0x0031);

    /// Whether the request was never executed.
    pub(crate) fn is_rejection(self) -> bool {
        self.0 & 0xFFF0 == 0x0010
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Status({:#06x})", self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}-{}", self.nonce, self.counter)
    }
}

impl Name {
    /// Checks and takes the octets.
    pub(crate) fn new(octets: impl Into<Bytes>) -> Result<Self, NameError> {
        let octets = octets.into();
        if octets.len() > usize::from(u8::MAX) || std::str::from_utf8(&octets).is_err() {
            return Err(NameError);
        }
        Ok(Self(octets))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when the name was made")
    }

    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The same name in memory of its own, for who keeps it long.
    pub(crate) fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl Key {
    /// Checks and takes the octets.
    pub(crate) fn new(octets: impl Into<Bytes>) -> Result<Self, NameError> {
        let octets = octets.into();
        if octets.len() > usize::from(u16::MAX) {
            return Err(NameError);
        }
        Ok(Self(octets))
    }

    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The octets, or `None` where they are none: no key.
    pub(crate) fn some(&self) -> Option<&Bytes> {
        (!self.0.is_empty()).then_some(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// The head of a frame that is at least as long as it.
struct Head<'frame>(&'frame [u8; HEAD]);

impl<'frame> Head<'frame> {
    fn of(frame: &'frame Bytes) -> Result<Self, WireError> {
        frame
            .first_chunk::<HEAD>()
            .map(Self)
            .ok_or(WireError::Truncated)
    }

    fn id(&self) -> RequestId {
        RequestId {
            nonce: self.u64(AT_NONCE),
            counter: self.u64(AT_COUNTER),
        }
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.octets(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.octets(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.octets(at))
    }

    fn octets<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|index| self.0[at + index])
    }
}

fn take_name(rest: &mut Bytes) -> Result<Bytes, WireError> {
    let length = usize::from(*rest.first().ok_or(WireError::Truncated)?);
    take(rest, 1, length)
}

fn take_key(rest: &mut Bytes) -> Result<Bytes, WireError> {
    let length = rest.first_chunk::<2>().ok_or(WireError::Truncated)?;
    let length = usize::from(u16::from_be_bytes(*length));
    take(rest, 2, length)
}

fn take(rest: &mut Bytes, prefix: usize, length: usize) -> Result<Bytes, WireError> {
    if rest.len() < prefix + length {
        return Err(WireError::Truncated);
    }
    let taken = rest.slice(prefix..prefix + length);
    *rest = rest.slice(prefix + length..);
    Ok(taken)
}

/// µs as the wire has them: what is too long to say is the longest that is not none.
fn micros_left(time_left: Option<Duration>) -> u64 {
    time_left.map_or(NO_DEADLINE, |left| {
        u64::try_from(left.as_micros())
            .map_or(NO_DEADLINE - 1, |micros| micros.min(NO_DEADLINE - 1))
    })
}

#[cfg(test)]
mod tests;
