//! What a handler gets and gives: a request, a reply or an error.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::service::envelope::ClientId;
use crate::service::headers::Headers;
use crate::service::intake::Incoming;
use crate::service::outcome::{CallError, ErrorBody, Payload};
use crate::service::window::Answer;
use crate::service::wire::{Codec, Control, RequestId, Status};

/// The most octets of a reply's payload: what a socket takes by default, less
/// the most that the other frames can have.
const LARGEST: usize = (16 << 20) - (128 << 10);

/// A request as a handler gets it.
pub struct Request {
    /// Boxed, as a request is moved into its handler, and with that into its task.
    incoming: Box<Incoming>,
}

/// What a handler answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    payload: Payload,
    headers: Headers,
}

/// Why a handler has no answer. The client gets it as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct HandlerError {
    status: Status,
    code: String,
    message: String,
}

impl Request {
    pub(crate) fn new(incoming: Box<Incoming>) -> Self {
        Self { incoming }
    }

    fn control(&self) -> &Control {
        &self.incoming.control
    }

    /// The method that is asked for.
    #[must_use]
    pub fn method(&self) -> &str {
        self.control().method.as_str()
    }

    /// The key, empty for none. Requests of one key run one after another, in order.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        self.control().key.as_bytes()
    }

    /// Who asks.
    #[must_use]
    pub fn client_id(&self) -> ClientId {
        ClientId::from_topic(&self.incoming.topic).expect("a request has the topic of a client")
    }

    /// The id of the request: the same when it is sent again.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.control().id
    }

    /// 0 for the first time, more where it was sent again.
    #[must_use]
    pub fn attempt(&self) -> u16 {
        self.control().attempt
    }

    /// Whether the client says that running it twice does no harm.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.control().flags.idempotent
    }

    /// When the client stops waiting; the handler is dropped then.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.incoming.deadline
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.incoming.headers
    }

    /// The payload as it came.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        self.incoming.payload.bytes()
    }

    /// The value that the payload encodes.
    ///
    /// # Errors
    ///
    /// The payload is no MessagePack, or not of this type: an error with the
    /// code `bad_payload` that a handler can return with `?`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        let value = self.incoming.payload.decode();
        value.map_err(|error| HandlerError::new("bad_payload", error.to_string()))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("id", &self.id())
            .field("method", &self.method())
            .field("key", self.key())
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// A value, as MessagePack.
    ///
    /// # Errors
    ///
    /// The value cannot be written as MessagePack: an error with the code
    /// `bad_reply` that a handler can return as it is.
    pub fn body<T: Serialize + ?Sized>(value: &T) -> Result<Self, HandlerError> {
        let payload = Payload::value(value)
            .map_err(|error| HandlerError::new("bad_reply", error.to_string()))?;
        Ok(Self {
            payload,
            headers: Headers::new(),
        })
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self {
            payload: Payload::raw(bytes),
            headers: Headers::new(),
        }
    }

    /// The payload of the request sent back, whatever its codec.
    #[must_use]
    pub fn echo(request: &Request) -> Self {
        Self {
            payload: request.incoming.payload.clone(),
            headers: Headers::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl HandlerError {
    /// An error with a code for programs and a message for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: Status::HANDLER_ERROR,
            code: code.into(),
            message: message.into(),
        }
    }

    /// The service has no such method: the client gets [`Rejected::NoSuchMethod`].
    ///
    /// [`Rejected::NoSuchMethod`]: crate::Rejected::NoSuchMethod
    #[must_use]
    pub fn no_such_method(method: &str) -> Self {
        Self {
            status: Status::NO_SUCH_METHOD,
            code: "no_such_method".to_owned(),
            message: format!("there is no method {method:?}"),
        }
    }

    pub(crate) fn panicked() -> Self {
        Self {
            status: Status::HANDLER_PANICKED,
            code: "panicked".to_owned(),
            message: "the handler panicked".to_owned(),
        }
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<CallError> for HandlerError {
    /// A call that a handler made has failed: its text is passed on.
    fn from(error: CallError) -> Self {
        match error {
            CallError::Handler { code, message } => Self::new(code, message),
            other => Self::new("call_failed", other.to_string()),
        }
    }
}

/// What goes on the wire for what a handler returned.
pub(crate) fn answer(result: Result<Reply, HandlerError>) -> Answer {
    let error = match result {
        // A message that no socket takes would leave a gap in the numbers of the answers.
        Ok(reply) if reply.payload.bytes().len() > LARGEST => {
            HandlerError::new("reply_too_large", "a reply has at most 16 MiB less 128 KiB")
        }
        Ok(reply) => match reply.headers.encode() {
            Ok(headers) => {
                return Answer {
                    status: Status::OK,
                    codec: reply.payload.codec(),
                    headers,
                    payload: reply.payload.into_bytes(),
                };
            }
            Err(error) => HandlerError::new("bad_reply", error.to_string()),
        },
        Err(error) => error,
    };
    let body = ErrorBody {
        code: error.code,
        message: error.message,
    };
    Answer {
        codec: Codec::MESSAGE_PACK,
        payload: rmp_serde::to_vec_named(&body).unwrap_or_default().into(),
        ..Answer::status(error.status)
    }
}
