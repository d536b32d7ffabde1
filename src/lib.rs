//! Push requests to a service, subscribe to its responses.

mod endpoint;
mod error;
mod message;
mod options;
#[allow(dead_code, reason = "the sockets that use it come with the next layer")]
mod routing;
#[allow(
    dead_code,
    reason = "the session that uses it comes with the next layer"
)]
mod zmtp;

pub use endpoint::{Endpoint, EndpointError, Host, IntoEndpoint};
pub use error::{BindError, ConnectError, RecvError, SendError, TryRecvError, TrySendError};
pub use message::Message;
pub use options::{Identity, IdentityError, Options, SocketType};
