//! How a call ends: the value, or why there is none and what may have happened.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::service::headers::Headers;
use crate::service::wire::{Codec, RequestId, Status};

/// How deep arrays and maps of a payload may be nested.
const DEPTH: usize = 64;

/// Why a call has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request was executed, and the handler said no.
    #[error("the handler answered {code}: {message}")]
    Handler {
        /// What a program can act on.
        code: String,
        /// What a person can read.
        message: String,
    },
    /// The request was never executed: sending it again does no harm.
    #[error("rejected: {0}")]
    Rejected(#[from] Rejected),
    /// The request may have been executed, or not.
    #[error("unknown: {0}")]
    Unknown(#[from] Unknown),
    /// The client was closed before the call ended; it may have been executed.
    #[error("the client is closed")]
    Closed,
    /// The value could not be encoded (then nothing was sent), or the answer
    /// is not of the type that was asked for (then it was executed).
    #[error("the payload does not fit the type: {0}")]
    Codec(String),
}

/// Why a request was never executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// A queue is full: try later, or ask less.
    #[error("the service is overloaded")]
    Overloaded,
    /// The deadline passed before it was executed.
    #[error("the deadline passed before the request was executed")]
    Expired,
    /// The service has no such method.
    #[error("the service has no such method")]
    NoSuchMethod,
    /// Nobody that was asked serves it.
    #[error("nobody serves this service")]
    NoSuchService,
    /// No instance is known, or none could be reached in time.
    #[error("no instance of the service can be reached")]
    NoInstance,
    /// The request is not as the protocol says, or larger than the limits allow.
    #[error("the request is malformed or too large")]
    Malformed,
    /// The other side speaks another version of the protocol.
    #[error("the other side speaks another version of the protocol")]
    VersionMismatch,
    /// The instance is stopping, and there is no other one.
    #[error("the instance is stopping")]
    Stopping,
    /// It went from broker to broker in a circle.
    #[error("the request went through too many brokers")]
    TooManyHops,
}

/// Why it cannot be told whether a request was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// The deadline passed after it was handed over.
    #[error("the deadline passed before an answer came")]
    DeadlinePassed,
    /// Who had it was lost.
    #[error("the instance that had the request was lost")]
    InstanceLost,
    /// It was cancelled.
    #[error("the request was cancelled")]
    Cancelled,
    /// Answers of the instance were lost on the way, and this may be one of them.
    #[error("answers of the instance were lost on the way")]
    Gap,
}

/// Bytes and how they are encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    codec: Codec,
    bytes: Bytes,
}

/// The end of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The id that `push` returned.
    pub id: RequestId,
    /// The method that was asked for.
    pub method: String,
    /// The key of the request; empty for none.
    pub key: Bytes,
    /// The headers of the answer.
    pub headers: Headers,
    /// The value, or why there is none.
    pub outcome: Result<Payload, CallError>,
}

/// What an error carries as its payload.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl CallError {
    /// What the status and payload of an error mean.
    pub(crate) fn of(status: Status, payload: &[u8]) -> Self {
        match status {
            Status::OVERLOADED => Rejected::Overloaded.into(),
            Status::EXPIRED => Rejected::Expired.into(),
            Status::NO_SUCH_METHOD => Rejected::NoSuchMethod.into(),
            Status::NO_SUCH_SERVICE => Rejected::NoSuchService.into(),
            Status::NO_INSTANCE => Rejected::NoInstance.into(),
            Status::MALFORMED => Rejected::Malformed.into(),
            Status::VERSION_MISMATCH => Rejected::VersionMismatch.into(),
            Status::STOPPING => Rejected::Stopping.into(),
            Status::TOO_MANY_HOPS => Rejected::TooManyHops.into(),
            Status::DEADLINE_PASSED => Unknown::DeadlinePassed.into(),
            Status::CANCELLED => Unknown::Cancelled.into(),
            Status::GAP => Unknown::Gap.into(),
            // Those of later versions count as their group.
            Status(0x0010..=0x001F) => Rejected::Overloaded.into(),
            Status(0x0020..=0x002F) => Unknown::InstanceLost.into(),
            _ => {
                let body: ErrorBody = decode(payload).unwrap_or_default();
                Self::Handler {
                    code: body.code,
                    message: body.message,
                }
            }
        }
    }
}

impl Payload {
    /// Bytes that are nothing but bytes.
    #[must_use]
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self {
            codec: Codec::RAW,
            bytes: bytes.into(),
        }
    }

    /// A value as MessagePack, its fields by their names.
    ///
    /// # Errors
    ///
    /// The value cannot be written as MessagePack.
    pub fn value<T: Serialize + ?Sized>(value: &T) -> Result<Self, CallError> {
        let octets =
            rmp_serde::to_vec_named(value).map_err(|error| CallError::Codec(error.to_string()))?;
        Ok(Self {
            codec: Codec::MESSAGE_PACK,
            bytes: octets.into(),
        })
    }

    pub(crate) fn new(codec: Codec, bytes: Bytes) -> Self {
        Self { codec, bytes }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes, by value.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The value that the bytes encode.
    ///
    /// # Errors
    ///
    /// The payload is no MessagePack, or not of this type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        if self.codec != Codec::MESSAGE_PACK {
            return Err(CallError::Codec("the payload is no MessagePack".to_owned()));
        }
        decode(&self.bytes).map_err(|error| CallError::Codec(error.to_string()))
    }
}

fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(octets);
    deserializer.set_max_depth(DEPTH);
    T::deserialize(&mut deserializer)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::{CallError, Payload, Rejected, Unknown};
    use crate::service::wire::Status;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Place {
        city: String,
    }

    #[test]
    fn a_value_travels_with_its_names() {
        let place = Place {
            city: "Dublin".to_owned(),
        };
        let payload = Payload::value(&place).expect("encodes");
        assert_eq!(&payload.bytes()[..], b"\x81\xa4city\xa6Dublin");
        assert_eq!(payload.decode(), Ok(place));
    }

    #[test]
    fn raw_bytes_and_another_type_are_no_value() {
        assert!(matches!(
            Payload::raw("\x01").decode::<u8>(),
            Err(CallError::Codec(_))
        ));
        let number = Payload::value(&1).expect("encodes");
        assert!(matches!(number.decode::<Place>(), Err(CallError::Codec(_))));
    }

    #[test]
    fn nesting_ends_at_64() {
        let nested = |depth: usize| {
            let octets = [vec![0x91; depth], vec![0x90]].concat();
            Payload::new(crate::service::wire::Codec::MESSAGE_PACK, octets.into())
                .decode::<serde::de::IgnoredAny>()
        };
        assert!(nested(60).is_ok());
        assert!(nested(65).is_err());
        assert!(nested(1_000_000).is_err());
    }

    #[test]
    fn every_status_has_its_group() {
        assert_eq!(
            CallError::of(Status::EXPIRED, b""),
            Rejected::Expired.into()
        );
        assert_eq!(CallError::of(Status::GAP, b""), Unknown::Gap.into());
        for status in 0x0010..=0x001F {
            assert!(matches!(
                CallError::of(Status(status), b""),
                CallError::Rejected(_)
            ));
        }
        for status in 0x0020..=0x002F {
            assert!(matches!(
                CallError::of(Status(status), b""),
                CallError::Unknown(_)
            ));
        }
        for status in [0x0000, 0x0001, 0x0030, 0x0031, 0x0040, 0xFFFF] {
            assert!(matches!(
                CallError::of(Status(status), b""),
                CallError::Handler { .. }
            ));
        }
    }

    #[test]
    fn an_error_says_its_code_and_message_where_it_can_be_read() {
        let error = CallError::of(Status::HANDLER_ERROR, b"\x81\xa4code\xa9not_found");
        assert_eq!(
            error,
            CallError::Handler {
                code: "not_found".to_owned(),
                message: String::new()
            }
        );
        assert_eq!(
            CallError::of(Status::HANDLER_PANICKED, b"\xff"),
            CallError::Handler {
                code: String::new(),
                message: String::new()
            }
        );
    }
}
