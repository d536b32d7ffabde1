//! A peer that is played octet by octet, on a wire in memory.

use std::task::Poll;
use std::time::Duration;

use futures::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::Result;

/// A wire and what was read from it and not yet looked at.
pub(crate) struct Peer {
    wire: DuplexStream,
}

impl Peer {
    /// A peer that has said and read nothing yet.
    pub(crate) fn new(wire: DuplexStream) -> Self {
        Self { wire }
    }

    /// A peer that has shaken hands as this socket type, with ZMTP 3.`minor`.
    pub(crate) async fn shaken(wire: DuplexStream, socket_type: &str, minor: u8) -> Result<Self> {
        Self::identified(wire, socket_type, minor, b"").await
    }

    /// As [`shaken`](Self::shaken), with an identity.
    pub(crate) async fn identified(
        wire: DuplexStream,
        socket_type: &str,
        minor: u8,
        identity: &[u8],
    ) -> Result<Self> {
        let mut peer = Self::new(wire);
        peer.write(&greeting(minor)).await?;
        peer.write(&ready(socket_type, identity)).await?;
        peer.read(64).await?;
        let (flags, _) = peer.frame().await?;
        assert_eq!(flags & 4, 4, "the answer to a greeting is a command: READY");
        Ok(peer)
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) -> Result {
        Ok(self.wire.write_all(octets).await?)
    }

    pub(crate) async fn read(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut octets = vec![0; count];
        self.wire.read_exact(&mut octets).await?;
        Ok(octets)
    }

    /// The next frame: flags and body.
    pub(crate) async fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        let flags = self.wire.read_u8().await?;
        let length = match flags & 2 {
            0 => u64::from(self.wire.read_u8().await?),
            _ => self.wire.read_u64().await?,
        };
        Ok((flags, self.read(usize::try_from(length)?).await?))
    }

    /// Reads to the end of the wire, which must come within 100 ms.
    pub(crate) async fn read_to_end(&mut self) -> Result<Vec<u8>> {
        let mut octets = Vec::new();
        let reading = self.wire.read_to_end(&mut octets);
        timeout(Duration::from_millis(100), reading)
            .await
            .map_err(|_| "the wire stays open")??;
        Ok(octets)
    }
}

/// One frame of one octet, as it goes over a wire.
pub(crate) const FRAME: usize = 3;

/// How many frames of one octet a peer has now, while nobody else has a turn.
pub(crate) async fn frames_there(peer: &mut Peer) -> usize {
    let mut count = 0;
    while let Poll::Ready(Ok(_)) = poll!(Box::pin(unconstrained(peer.read(FRAME)))) {
        count += 1;
    }
    count
}

/// The greeting of a ZMTP 3.`minor` peer with the mechanism NULL.
pub(crate) fn greeting(minor: u8) -> Vec<u8> {
    let mut octets = vec![0; 64];
    octets[0] = 0xFF;
    octets[9] = 0x7F;
    octets[10..12].copy_from_slice(&[3, minor]);
    octets[12..16].copy_from_slice(b"NULL");
    octets
}

/// A READY command.
pub(crate) fn ready(socket_type: &str, identity: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [
        ("Socket-Type", socket_type.as_bytes()),
        ("Identity", identity),
    ] {
        body.push(u8::try_from(name.len()).expect("a short name"));
        body.extend(name.as_bytes());
        body.extend(
            u32::try_from(value.len())
                .expect("a short value")
                .to_be_bytes(),
        );
        body.extend(value);
    }
    command(&body)
}

/// A short command frame.
pub(crate) fn command(body: &[u8]) -> Vec<u8> {
    [
        &[4, u8::try_from(body.len()).expect("a short command")],
        body,
    ]
    .concat()
}

/// A short message frame.
pub(crate) fn frame(more: bool, body: &[u8]) -> Vec<u8> {
    [
        &[
            u8::from(more),
            u8::try_from(body.len()).expect("a short frame"),
        ],
        body,
    ]
    .concat()
}
