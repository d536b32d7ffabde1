//! Takes a fresh wire through greeting and handshake, within a time limit.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Settings;
use crate::error::LinkError;
use crate::transport::Wire;
use crate::zmtp::{Handshake, Local, Peer};

/// Octets read at once before the peer has shown that it speaks the protocol.
const CHUNK: usize = 512;

/// Shakes hands. Returns the peer and what it sent behind its READY.
pub(super) async fn shake_hands(
    wire: &mut Wire,
    settings: &Settings,
) -> Result<(Peer, BytesMut), LinkError> {
    let local = Local {
        socket_type: settings.socket_type,
        identity: settings.identity.clone(),
    };
    match timeout(
        settings.handshake_timeout,
        exchange(wire, Handshake::new(local)),
    )
    .await
    {
        Ok(result) => result,
        Err(_) => Err(LinkError::HandshakeTimeout),
    }
}

async fn exchange(
    wire: &mut Wire,
    mut handshake: Handshake,
) -> Result<(Peer, BytesMut), LinkError> {
    let mut input = BytesMut::new();
    loop {
        send(wire, &mut handshake).await?;
        let received = handshake.receive(&mut input);
        // An ERROR that tells the peer why goes out before the wire is closed (N09).
        send(wire, &mut handshake).await?;
        if let Some(peer) = received.map_err(|error| LinkError::Handshake(error.to_string()))? {
            return Ok((peer, input));
        }
        input.reserve(CHUNK);
        if wire
            .read
            .read_buf(&mut input)
            .await
            .map_err(LinkError::io)?
            == 0
        {
            return Err(LinkError::ClosedByPeer);
        }
    }
}

async fn send(wire: &mut Wire, handshake: &mut Handshake) -> Result<(), LinkError> {
    let octets = handshake.outgoing();
    if octets.is_empty() {
        return Ok(());
    }
    wire.write.write_all(&octets).await.map_err(LinkError::io)
}
