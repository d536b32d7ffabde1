//! The in-memory transport: named listeners within the process.
//!
//! It carries the same octets as tcp and nothing else, so that sessions and
//! sockets run on it unchanged, and under tokio's paused time.

use std::collections::HashMap;
use std::io;
use std::sync::LazyLock;

use parking_lot::Mutex;
use tokio::io::{DuplexStream, duplex, split};
use tokio::sync::mpsc;

use super::{ReadHalf, Remote, Wire, WriteHalf, next_number};

/// Octets that a wire holds in each direction until they are read.
const CAPACITY: usize = 64 << 10;

/// Dialled wires that may wait for a listener to accept them.
const BACKLOG: usize = 1_024;

/// A dialled wire, on its way to the listener, and its number.
type Dialled = (u64, DuplexStream);

/// Who listens, by name.
static LISTENERS: LazyLock<Mutex<HashMap<String, mpsc::Sender<Dialled>>>> =
    LazyLock::new(Mutex::default);

/// A bound name. Dropping it frees the name.
pub(crate) struct Acceptor {
    name: String,
    dialled: mpsc::Receiver<Dialled>,
}

impl Acceptor {
    pub(super) fn bind(name: &str) -> io::Result<Self> {
        let mut listeners = LISTENERS.lock();
        if listeners.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        let (sender, dialled) = mpsc::channel(BACKLOG);
        listeners.insert(name.to_owned(), sender);
        Ok(Self {
            name: name.to_owned(),
            dialled,
        })
    }

    pub(super) async fn accept(&mut self) -> io::Result<Wire> {
        self.next()
            .await
            .map(|(number, stream)| wire(number, stream))
    }

    async fn next(&mut self) -> io::Result<Dialled> {
        let dialled = self.dialled.recv().await;
        dialled.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        LISTENERS.lock().remove(&self.name);
    }
}

pub(super) fn dial(name: &str) -> io::Result<Wire> {
    dial_named(name).map(|(number, stream)| wire(number, stream))
}

fn wire(number: u64, stream: DuplexStream) -> Wire {
    let (read, write) = split(stream);
    Wire {
        read: ReadHalf::Memory(read),
        write: WriteHalf::Memory(write),
        remote: Remote::Here(number),
    }
}

/// The bare wire to whoever listens under `name`.
pub(crate) fn dial_raw(name: &str) -> io::Result<DuplexStream> {
    dial_named(name).map(|(_, stream)| stream)
}

fn dial_named(name: &str) -> io::Result<Dialled> {
    let (ours, theirs) = duplex(CAPACITY);
    let sender = LISTENERS.lock().get(name).cloned();
    let sender = sender.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
    let number = next_number();
    sender
        .try_send((number, theirs))
        .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
    Ok((number, ours))
}

/// A listener that hands out bare wires.
pub(crate) async fn accept_raw(acceptor: &mut Acceptor) -> io::Result<DuplexStream> {
    acceptor.next().await.map(|(_, stream)| stream)
}
