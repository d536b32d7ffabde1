//! Who is where: the instances of a service, as whole views that never error and never block.
//!
//! It never carries a message, and a call never waits for it: an outage of a
//! source is a freshness of its last view, not a failure of a call.

mod fixed;
mod registry;
mod watch;

pub use fixed::Static;
pub use registry::{Registration, Registry};
pub use watch::Watch;

use std::sync::Arc;

use crate::endpoint::{Endpoint, EndpointError, IntoEndpoint};

/// A source of views: which instances serve what.
///
/// ```
/// use pushsub::{Discovery, Instance, Registry};
///
/// let registry = Registry::new();
/// let instance = Instance::new("tcp://127.0.0.1:6001", "tcp://127.0.0.1:6002")?;
/// let registration = registry.register("geo", instance.clone());
/// assert_eq!(registry.watch("geo").latest().instances, [instance]);
///
/// drop(registration);
/// assert!(registry.watch("geo").latest().instances.is_empty());
/// # Ok::<(), pushsub::EndpointError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say where a service is",
    note = "pass an `Instance` (the endpoints of requests and responses), a `Vec` of them, a \
            `Static` list or a `Registry`"
)]
pub trait Discovery: Send + Sync + 'static {
    /// Watches the instances of a service. Returns at once, also where the
    /// source cannot be reached: the first view then says so.
    fn watch(&self, service: &str) -> Watch;
}

/// Where an instance of a service takes requests and publishes responses.
///
/// A broker's front is such a pair too: to a client it is one big instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Instance {
    /// The PULL to which clients push requests.
    pub requests: Endpoint,
    /// The XPUB on whose topics the responses are published.
    pub responses: Endpoint,
}

impl Instance {
    /// An instance at these endpoints.
    ///
    /// # Errors
    ///
    /// A text is no endpoint.
    pub fn new(
        requests: impl IntoEndpoint,
        responses: impl IntoEndpoint,
    ) -> Result<Self, EndpointError> {
        Ok(Self {
            requests: requests.into_endpoint()?,
            responses: responses.into_endpoint()?,
        })
    }
}

/// All that a source knows of a service at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// The instances, each once.
    pub instances: Vec<Instance>,
    /// Whether the source stands behind them now.
    pub freshness: Freshness,
}

impl View {
    /// A view of these instances that is live.
    #[must_use]
    pub fn live(instances: Vec<Instance>) -> Self {
        Self {
            instances,
            freshness: Freshness::Live,
        }
    }
}

/// How much a view can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// The source has not answered yet: an empty view says nothing.
    #[default]
    Pending,
    /// It is what the source says now: an empty view means that nobody serves.
    Live,
    /// The source cannot be reached: this is the last that was heard.
    Stale,
}

impl<D: Discovery> Discovery for Arc<D> {
    fn watch(&self, service: &str) -> Watch {
        D::watch(self, service)
    }
}
