//! The alerter: hears which stations became empty, and is deliberately slow, to slow nobody.

use std::time::Duration;

use pushsub::{Endpoint, Sub};

use crate::arguments::Failure;

/// How long it is busy with each alert.
const PAUSE: Duration = Duration::from_millis(10);

/// Starts the alerter: it subscribes to a topic of the publisher at this endpoint.
///
/// Returns its socket, for what that counts.
pub(crate) fn alerter(publisher: &Endpoint, topic: &'static str) -> Result<Sub, Failure> {
    let sub = Sub::new();
    sub.subscribe(topic);
    sub.connect(publisher)?;
    tokio::spawn(take_time(sub.clone()));
    Ok(sub)
}

async fn take_time(sub: Sub) {
    let mut time = tokio::time::interval(PAUSE);
    while sub.recv().await.is_ok() {
        time.tick().await;
    }
}
