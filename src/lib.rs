//! Push requests to a service, subscribe to its responses.

mod endpoint;
mod error;
mod message;
mod options;
// The drivers that use the pure parts come with the sockets.
#[allow(dead_code)]
mod service;

pub use endpoint::{Endpoint, EndpointError, Host, IntoEndpoint};
pub use error::{BindError, ConnectError, RecvError, SendError, TryRecvError, TrySendError};
pub use message::Message;
pub use options::{Identity, IdentityError, Options, SocketType};
pub use service::{
    CallError, ClientId, ClientIdError, Headers, Payload, Rejected, RequestId, Response, Unknown,
};
