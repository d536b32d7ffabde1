//! Takes a fresh wire through greeting and handshake, within a time limit.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::BytesMut;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::Settings;
use crate::error::LinkError;
use crate::transport::Wire;
use crate::zmtp::handshake::HandshakeError;
use crate::zmtp::{Handshake, Local, Peer};

/// Octets read at once before the peer has shown that it speaks the protocol.
const CHUNK: usize = 512;

/// Shakes hands. Returns the peer and what it sent behind its READY.
///
/// No async function, which would hold its arguments twice: there may be very many of them at once.
pub(super) fn shake_hands(
    wire: &mut Wire,
    settings: &Settings,
) -> impl Future<Output = Result<(Peer, BytesMut), LinkError>> {
    let exchange = exchange(wire, Handshake::new(local(settings)));
    let shaken = timeout(settings.connection.handshake_timeout, exchange);
    shaken.map(|shaken| shaken.unwrap_or(Err(LinkError::HandshakeTimeout)))
}

/// What a socket says of itself.
pub(super) fn local(settings: &Settings) -> Local {
    Local {
        socket_type: settings.socket_type,
        identity: settings.identity.clone(),
        metadata: settings.metadata.clone(),
    }
}

/// Two sockets of this process shake hands without a wire, by the same rules.
/// Returns what the first learns of the second, and the second of the first.
pub(super) fn introduce(
    one: Local,
    other: Local,
) -> (Result<Peer, LinkError>, Result<Peer, LinkError>) {
    let mut ends = [one, other].map(|local| (Handshake::new(local), BytesMut::new()));
    loop {
        let [one, other] = &mut ends;
        one.1.extend_from_slice(&other.0.outgoing());
        other.1.extend_from_slice(&one.0.outgoing());
        let learnt = ends
            .each_mut()
            .map(|(handshake, input)| handshake.receive(input).transpose());
        match learnt {
            [None, None] => {}
            // Both speak at once, so both have heard all when one has.
            learnt => {
                let [one, other] = learnt.map(|learnt| {
                    let learnt = learnt.unwrap_or(Err(HandshakeError::UnexpectedCommand));
                    learnt.map_err(refusal)
                });
                return (one, other);
            }
        }
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds its arguments twice"
)]
fn exchange(
    wire: &mut Wire,
    mut handshake: Handshake,
) -> impl Future<Output = Result<(Peer, BytesMut), LinkError>> {
    async move {
        let mut input = BytesMut::new();
        loop {
            send(wire, &mut handshake).await?;
            let received = handshake.receive(&mut input);
            // An ERROR that tells the peer why goes out before the wire is closed (N09).
            send(wire, &mut handshake).await?;
            if let Some(peer) = received.map_err(refusal)? {
                return Ok((peer, input));
            }
            if receive(wire, &mut input).await.map_err(LinkError::io)? == 0 {
                return Err(LinkError::ClosedByPeer);
            }
        }
    }
}

/// By value, so that it can stand in `map_err`.
#[allow(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn refusal(error: HandshakeError) -> LinkError {
    LinkError::Handshake(error.to_string())
}

/// Appends what comes next, and returns how many octets that is. There may be very many who wait, and
/// the buffers of those of whom nothing has come would stay with the allocator in pieces.
async fn receive(wire: &mut Wire, input: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|context| {
        let mut chunk = [0; CHUNK];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut wire.read).poll_read(context, &mut chunk))?;
        input.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    })
    .await
}

async fn send(wire: &mut Wire, handshake: &mut Handshake) -> Result<(), LinkError> {
    let octets = handshake.outgoing();
    if octets.is_empty() {
        return Ok(());
    }
    wire.write.write_all(&octets).await.map_err(LinkError::io)
}
