//! PUSH and PULL: work handed out to whoever has room (30/PIPELINE).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};

use super::closing::Closed;
use super::handle::Handle;
use super::monitor::Monitor;
use super::operations::{attended_socket, every_socket, receiving_socket, sending_socket};
use super::permit::reserving_socket;
use super::receipt::{Receipt, SendOptions};
use super::stats::Stats;
use crate::endpoint::{Endpoint, IntoEndpoint};
use crate::error::{
    BindError, ConnectError, OptionsError, RecvError, SendError, TryRecvError, TrySendError,
};
use crate::message::Message;
use crate::options::{Options, SocketType};

/// Sends each message to one PULL peer, in turn among those with room.
///
/// ```
/// # tokio_test(async {
/// use pushsub::{Pull, Push};
///
/// let pull = Pull::new();
/// let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
/// let push = Push::new();
/// push.connect(&endpoint)?;
/// push.send("work").await?;
/// assert_eq!(pull.recv().await?.first(), "work");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
/// # }
/// ```
///
/// # Trade-offs
///
/// A message that is queued for a peer waits for that peer, even while others
/// are idle: for work of uneven length a broker with credit is the better choice.
pub struct Push {
    handle: Handle,
}

every_socket!(Push);
sending_socket!(Push, "Waits while no peer has room, or there is no peer.");
reserving_socket!(Push);

impl Push {
    /// So many messages were received elsewhere, whose receivers are about to send as many here:
    /// they share writes as answers do, until [`expect_no_answers`](Self::expect_no_answers).
    pub(crate) fn expect_answers(&self, count: usize) {
        self.handle.core().expect_answers(count);
    }

    /// Several are expected no more.
    pub(crate) fn expect_no_answers(&self) {
        self.handle.core().expect_no_answers();
    }
}

/// Receives from all PUSH peers, one after the other. See [`Push`].
pub struct Pull {
    handle: Handle,
}

every_socket!(Pull);
receiving_socket!(Pull);
attended_socket!(Pull);

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::{Pull, Push};
    use crate::message::Message;
    use crate::options::Options;
    use crate::session::{PipeId, Port};
    use crate::socket::core::Core;

    /// A PUSH that is connected over a wire in memory, on a runtime where nothing else runs meanwhile.
    async fn connected(name: &str) -> (Push, Pull) {
        connected_to(name, Pull::new()).await
    }

    async fn connected_to(name: &str, pull: Pull) -> (Push, Pull) {
        let push = Push::new();
        let endpoint = format!("memory://{name}");
        pull.bind(endpoint.as_str()).await.expect("a free name");
        push.connect(endpoint.as_str()).expect("an endpoint");
        while push.peers().is_empty() {
            yield_now().await;
        }
        // What a new link has to do is done.
        for _ in 0..50 {
            yield_now().await;
        }
        (push, pull)
    }

    /// How many of so many messages are written as soon as the last is sent.
    fn written(push: &Push, messages: usize) -> u64 {
        let before = push.stats().sent.written;
        for _ in 0..messages {
            push.try_send("!").expect("there is room");
        }
        push.stats().sent.written - before
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_are_expected_share_a_write_when_the_last_is_there() {
        let (push, _pull) = connected("expected").await;
        push.expect_answers(3);
        assert_eq!(written(&push, 2), 0);
        assert_eq!(written(&push, 1), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_where_nothing_is_expected_any_more_leaves_at_once() {
        let (push, _pull) = connected("unexpected").await;
        push.expect_answers(3);
        push.expect_no_answers();
        assert_eq!(written(&push, 1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn those_of_the_expected_that_are_there_leave_without_the_others() {
        let (push, pull) = connected("stays-away").await;
        push.expect_answers(3);
        assert_eq!(written(&push, 2), 0);
        push.expect_no_answers();
        for _ in 0..2 {
            assert_eq!(pull.recv().await, Ok(Message::from("!")));
        }
    }

    /// Whoever looked, or was told of a link by the runtime when its turn had ended, may come when the pipe
    /// has been filled by another.
    #[tokio::test(start_paused = true)]
    async fn a_link_that_is_left_unread_stays_so_when_a_wake_up_comes_late() {
        let one = Options::default().receive_high_water_mark(1);
        let pull = Pull::with_options(one).expect("an option of it");
        let (push, pull) = connected_to("late", pull).await;
        push.send("!").await.expect("there is room");
        while pull.stats().received.queued == 0 {
            yield_now().await;
        }
        let core = pull.handle.core();
        let pipe = |core: &Core| {
            let state = core.state.lock();
            let (index, pipe) = state.pipes.iter().next().expect("there is one");
            let serial = pipe.serial;
            (PipeId { index, serial }, pipe.is_paused(), pipe.readable)
        };
        let (id, is_paused, _) = pipe(core);
        assert!(is_paused);
        core.readable(id);
        let (.., readable) = pipe(core);
        assert!(!readable);
    }
}
