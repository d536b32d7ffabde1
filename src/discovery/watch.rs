//! The latest view of a service, and a stream of those that follow.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::sync::watch;

use super::View;

/// A stream of whole views: the present one at once, then the newest after each change.
///
/// It never ends and never errors. Views that came and went while nobody looked
/// are skipped.
pub struct Watch {
    latest: watch::Receiver<View>,
    views: BoxStream<'static, View>,
}

impl Watch {
    /// The newest view, also if the stream yielded it already.
    #[must_use]
    pub fn latest(&self) -> View {
        self.latest.borrow().clone()
    }

    /// A watch of what never changes.
    pub(super) fn fixed(view: View) -> Self {
        watch::Sender::new(view).subscribe().into()
    }
}

/// What another source of views is built on: it keeps the sender.
impl From<watch::Receiver<View>> for Watch {
    fn from(latest: watch::Receiver<View>) -> Self {
        let mut newest = latest.clone();
        newest.mark_changed();
        let views = stream::unfold(newest, |mut newest| async {
            if newest.changed().await.is_err() {
                // The source is gone: its last view stands for ever.
                std::future::pending::<()>().await;
            }
            let view = newest.borrow_and_update().clone();
            Some((view, newest))
        });
        Self {
            latest,
            views: views.boxed(),
        }
    }
}

impl Stream for Watch {
    type Item = View;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<View>> {
        self.views.poll_next_unpin(context)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latest = self.latest();
        formatter
            .debug_struct("Watch")
            .field("latest", &latest)
            .finish_non_exhaustive()
    }
}
