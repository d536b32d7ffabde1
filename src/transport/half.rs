//! The two halves of a wire, of whichever transport: not boxed, as each link at rest holds both.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{self as tokio_io, AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::tcp;
#[cfg(unix)]
use tokio::net::unix;

/// The half of a wire that is read.
pub(crate) enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Ipc(unix::OwnedReadHalf),
    Memory(tokio_io::ReadHalf<DuplexStream>),
}

/// The half of a wire that is written.
pub(crate) enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Ipc(unix::OwnedWriteHalf),
    Memory(tokio_io::WriteHalf<DuplexStream>),
}

/// Does the same with the half of any transport.
macro_rules! each {
    ($half:expr, $wire:ident => $body:expr) => {
        match $half {
            Self::Tcp($wire) => $body,
            #[cfg(unix)]
            Self::Ipc($wire) => $body,
            Self::Memory($wire) => $body,
        }
    };
}

impl WriteHalf {
    /// Of this end: tcp. An IPv4 address stands there as such, also on a socket of both families.
    pub(super) fn own_address(&self) -> Option<SocketAddr> {
        let Self::Tcp(wire) = self else { return None };
        let own = wire.local_addr().ok()?;
        Some(SocketAddr::new(own.ip().to_canonical(), own.port()))
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), wire => Pin::new(wire).poll_read(context, buffer))
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), wire => Pin::new(wire).poll_write(context, octets))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), wire => Pin::new(wire).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, wire => wire.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), wire => Pin::new(wire).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), wire => Pin::new(wire).poll_shutdown(context))
    }
}
