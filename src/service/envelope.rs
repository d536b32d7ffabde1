//! The four frames of a service message: topic, control, headers, payload.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::message::Message;
use crate::service::wire::{Control, VERSION, WireError};

/// A service message whose control frame was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// A client's topic; empty between a broker and a worker where no client is concerned.
    pub(crate) topic: Bytes,
    pub(crate) control: Control,
    /// A MessagePack map, or nothing: unread so far.
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

impl Envelope {
    /// A message without headers and payload.
    pub(crate) fn bare(topic: Bytes, control: Control) -> Self {
        Self {
            topic,
            control,
            headers: Bytes::new(),
            payload: Bytes::new(),
        }
    }

    /// The message on the wire.
    pub(crate) fn encode(self) -> Message {
        let control = self.control.encode();
        Message::from([self.topic, control, self.headers, self.payload])
    }

    /// Reads a message of exactly four frames, without copying any.
    pub(crate) fn decode(message: Message) -> Result<Self, WireError> {
        let frames = message.into_frames();
        let count = frames.len();
        // The version comes first: only it says how many frames there are to be.
        let version = frames.get(1).and_then(|control| control.first()).copied();
        if let Some(version) = version.filter(|version| *version != VERSION) {
            return Err(WireError::Version(version));
        }
        let [topic, control, headers, payload]: [Bytes; 4] =
            frames.try_into().map_err(|_| WireError::Frames(count))?;
        if !is_topic(&topic) {
            return Err(WireError::Topic);
        }
        Ok(Self {
            control: Control::decode(&control)?,
            topic,
            headers,
            payload,
        })
    }
}

/// Who subscribes to responses: 1 to 254 octets, none of them zero.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    /// The id and its final zero, as it stands on the wire.
    topic: Bytes,
}

/// The octets are no client id. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client id has 1 to 254 octets, none of them zero")]
pub struct ClientIdError;

impl ClientId {
    /// Checks and copies the octets.
    pub fn new(octets: impl AsRef<[u8]>) -> Result<Self, ClientIdError> {
        topic(octets.as_ref()).map(|topic| Self { topic })
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.topic[..self.topic.len() - 1]
    }

    /// The first frame of everything that concerns this client, and what it subscribes to.
    pub(crate) fn topic(&self) -> &Bytes {
        &self.topic
    }

    /// The client of a topic, or `None` where the topic is empty or no client's.
    pub(crate) fn from_topic(topic: &Bytes) -> Option<Self> {
        let sound = !topic.is_empty() && is_topic(topic);
        sound.then(|| Self {
            topic: topic.clone(),
        })
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// The topic of a client id. Its final zero keeps `client-1` from receiving
/// what is for `client-10`, since subscriptions match by prefix.
pub(crate) fn topic(client_id: &[u8]) -> Result<Bytes, ClientIdError> {
    if !(1..=254).contains(&client_id.len()) || client_id.contains(&0x00) {
        return Err(ClientIdError);
    }
    let mut topic = BytesMut::with_capacity(client_id.len() + 1);
    topic.put_slice(client_id);
    topic.put_u8(0x00);
    Ok(topic.freeze())
}

fn is_topic(frame: &[u8]) -> bool {
    match frame.split_last() {
        None => true,
        Some((0x00, id)) => (1..=254).contains(&id.len()) && !id.contains(&0x00),
        Some(_) => false,
    }
}

/// A monotonic clock as stamps have it: µs, never 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn starting(now: Instant) -> Self {
        Self { start: now }
    }

    /// The stamp of this moment.
    pub(crate) fn stamp(&self, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(self.start).as_micros();
        u64::try_from(micros)
            .unwrap_or(u64::MAX - 1)
            .saturating_add(1)
    }
}

/// How long messages of one sender spent in buffers, from its stamps and our clock.
///
/// The two clocks have nothing in common but their pace: the smallest
/// difference seen is that of a message that waited nowhere, and what is
/// above it was spent waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Transit {
    smallest: Option<i128>,
}

impl Transit {
    /// The wait of a message with this stamp that is read at our `clock`, both in µs.
    pub(crate) fn spent(&mut self, clock: u64, stamp: u64) -> Duration {
        if stamp == 0 {
            return Duration::ZERO;
        }
        let difference = i128::from(clock) - i128::from(stamp);
        let smallest = *self.smallest.insert(
            self.smallest
                .map_or(difference, |smallest| smallest.min(difference)),
        );
        Duration::from_micros(u64::try_from(difference - smallest).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::{ClientId, Clock, Envelope, Transit, topic};
    use crate::message::Message;
    use crate::service::wire::{Control, Kind, Name, RequestId, WireError};

    fn sample() -> Envelope {
        let id = RequestId {
            nonce: 1,
            counter: 2,
        };
        Envelope {
            topic: topic(b"web-7").expect("an id"),
            control: Control::new(Kind::Request, id, Name::new("geo").expect("a name")),
            headers: Bytes::new(),
            payload: Bytes::from_static(b"\x01\x02"),
        }
    }

    #[test]
    fn an_envelope_is_four_frames() {
        let message = sample().encode();
        assert_eq!(message.frames().len(), 4);
        assert_eq!(&message[0][..], b"web-7\0");
        assert_eq!(Envelope::decode(message), Ok(sample()));
    }

    #[test]
    fn fewer_or_more_frames_are_no_envelope() {
        let frames = sample().encode().into_frames();
        for count in 1..4 {
            let message = Message::from_frames(frames[..count].to_vec()).expect("frames");
            assert_eq!(Envelope::decode(message), Err(WireError::Frames(count)));
        }
        let mut message = sample().encode();
        message.push_back("");
        assert_eq!(Envelope::decode(message), Err(WireError::Frames(5)));
    }

    #[test]
    fn a_topic_is_empty_or_a_client_id_with_a_final_zero() {
        let long = [vec![b'a'; 254], vec![0]].concat();
        let longer = [vec![b'a'; 255], vec![0]].concat();
        for (topic, sound) in [
            (&b""[..], true),
            (b"a\0", true),
            (&long, true),
            (&longer, false),
            (b"\0", false),
            (b"a", false),
            (b"a\0b\0", false),
        ] {
            let envelope = Envelope {
                topic: Bytes::copy_from_slice(topic),
                ..sample()
            };
            assert_eq!(
                Envelope::decode(envelope.encode()).is_ok(),
                sound,
                "{topic:?}"
            );
        }
    }

    #[test]
    fn a_client_id_survives_its_topic() {
        let id = ClientId::new("client-1").expect("an id");
        assert_eq!(&id.topic()[..], b"client-1\0");
        assert_eq!(ClientId::from_topic(id.topic()), Some(id.clone()));
        assert_eq!(id.as_bytes(), b"client-1");
        assert_eq!(ClientId::from_topic(&Bytes::new()), None);
        assert!(ClientId::new("").is_err());
        assert!(ClientId::new("a\0").is_err());
        assert!(ClientId::new([b'a'; 255]).is_err());
    }

    #[test]
    fn what_waited_longer_than_the_quickest_has_spent_the_difference() {
        let mut transit = Transit::default();
        assert_eq!(transit.spent(1_000, 500), Duration::ZERO);
        assert_eq!(transit.spent(2_300, 1_500), Duration::from_micros(300));
        assert_eq!(transit.spent(2_400, 2_000), Duration::ZERO);
        assert_eq!(transit.spent(3_000, 2_500), Duration::from_micros(100));
    }

    #[test]
    fn no_stamp_has_spent_nothing_and_a_mad_one_does_not_overflow() {
        let mut transit = Transit::default();
        assert_eq!(transit.spent(1_000, 0), Duration::ZERO);
        assert_eq!(transit.spent(0, u64::MAX), Duration::ZERO);
        assert_eq!(transit.spent(u64::MAX, 1), Duration::from_micros(u64::MAX));
    }

    #[test]
    fn a_stamp_is_never_none() {
        let start = Instant::now();
        let clock = Clock::starting(start);
        assert_eq!(clock.stamp(start), 1);
        assert_eq!(clock.stamp(start + Duration::from_millis(2)), 2_001);
    }
}
