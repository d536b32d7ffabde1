//! What the wire gives a thread: length-prefixed frames over bare connections of the standard
//! library, without a runtime. A publisher writes the same octets to all of them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Result, bail};

use super::Kind;
use super::framing::{Incoming, PREFIX, WRITE, encode};

pub(crate) struct Socket {
    listener: Option<Listener>,
    streams: Vec<Stream>,
    outgoing: Vec<u8>,
    incoming: Incoming,
}

enum Listener {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

impl Stream {
    fn tcp(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(room),
            Self::Ipc(stream) => stream.read(room),
        }
    }

    fn write_all(&mut self, octets: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(octets),
            Self::Ipc(stream) => stream.write_all(octets),
        }
    }
}

impl Socket {
    fn new(listener: Option<Listener>, streams: Vec<Stream>) -> Self {
        Self {
            listener,
            streams,
            outgoing: Vec::with_capacity(WRITE),
            incoming: Incoming::new(),
        }
    }

    fn write(&mut self) -> Result<()> {
        for stream in &mut self.streams {
            stream.write_all(&self.outgoing)?;
        }
        self.outgoing.clear();
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        if let Some(listener) = self.listener.take() {
            self.streams.push(match listener {
                Listener::Tcp(listener) => Stream::tcp(listener.accept()?.0)?,
                Listener::Ipc(listener) => Stream::Ipc(listener.accept()?.0),
            });
        }
        let [stream, ..] = &mut self.streams[..] else {
            bail!("it is neither bound nor connected")
        };
        let read = stream.read(self.incoming.room())?;
        self.incoming.filled(read);
        if read == 0 {
            bail!("the other end is gone");
        }
        Ok(())
    }
}

impl super::Socket for Socket {
    const SPEAKS_ZMTP: bool = false;

    async fn bind(_: Kind, endpoints: &[String]) -> Result<Self> {
        let listener = match endpoints[0].split_once("://") {
            Some(("tcp", address)) => Listener::Tcp(TcpListener::bind(address)?),
            Some(("ipc", path)) => Listener::Ipc(UnixListener::bind(path)?),
            _ => bail!("{} is for sockets", endpoints[0]),
        };
        Ok(Self::new(Some(listener), Vec::new()))
    }

    async fn connect(_: Kind, endpoints: &[String]) -> Result<Self> {
        let connected = endpoints.iter().map(|endpoint| {
            Ok(match endpoint.split_once("://") {
                Some(("tcp", address)) => Stream::tcp(TcpStream::connect(address)?)?,
                Some(("ipc", path)) => Stream::Ipc(UnixStream::connect(path)?),
                _ => bail!("{endpoint} is for sockets"),
            })
        });
        let streams = connected.collect::<Result<_>>()?;
        Ok(Self::new(None, streams))
    }

    async fn subscribe(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        if self.outgoing.len() + PREFIX + payload.len() > WRITE {
            self.write()?;
        }
        encode(&mut self.outgoing, payload);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.write()
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        self.write()?;
        while self.incoming.take(note) == 0 {
            self.fill()?;
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        self.fill()?;
        let answers = &mut self.outgoing;
        self.incoming.take(&mut |payload| encode(answers, payload));
        self.write()
    }

    async fn close(mut self) -> Result<()> {
        self.write()
    }
}
