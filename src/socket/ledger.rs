//! Watches the sockets of a test, so that both ends of every link can be held to account at its end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::core::Core;
use super::place::Pipe;
use super::stats::Stats;
use crate::endpoint::Endpoint;
use crate::options::SocketType;
use crate::session::{Attach, PipeId, WireName};

thread_local! {
    /// What the sockets that are made on this thread are entered into.
    static OPEN: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// A ledger of all sockets that are made while it is open on their thread,
/// those that a device or a service makes included.
///
/// It keeps what it needs to read their counters after the last handle is
/// gone; that is freed with the ledger. A message pays nothing for it.
pub struct Ledger {
    shared: Arc<Shared>,
}

/// What went one way over the links between two sockets of a ledger: over one
/// link where the transport tells them apart, over all links of an endpoint
/// where it does not (ipc).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passage {
    /// The endpoint as the socket that sends knows it.
    pub endpoint: Endpoint,
    /// The socket that sends.
    pub from: SocketType,
    /// The socket that receives.
    pub to: SocketType,
    /// Messages that the one has written.
    pub written: u64,
    /// Messages that the other has read.
    pub received: u64,
    /// Both ends are there, and nothing keeps the other from reading: once the
    /// runtime has nothing more to do, all that was written has been received.
    pub flows: bool,
}

#[derive(Default)]
struct Shared(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    sockets: Vec<Arc<Core>>,
    links: Vec<Record>,
    /// The newest record of each name.
    named: HashMap<Name, usize>,
    /// Where the end of each connection that is there stands.
    live: HashMap<(usize, PipeId), Standing>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Wire(WireName),
    Endpoint(Endpoint),
}

/// The place of an end: of its record, and on its side of that.
struct Standing {
    record: usize,
    dialled: bool,
    end: usize,
}

/// The ends of one link, or of all links of an endpoint.
#[derive(Clone, Default)]
struct Record {
    dialled: Vec<End>,
    accepted: Vec<End>,
}

#[derive(Clone)]
struct End {
    /// Its socket, by its place in the ledger.
    socket: usize,
    endpoint: Endpoint,
    pipe: PipeId,
    /// What the pipe had counted before this connection.
    before: Count,
    /// What it had counted at its end.
    after: Option<Count>,
}

/// Messages that a pipe has written and read.
#[derive(Clone, Copy, Default)]
struct Count {
    written: u64,
    read: u64,
}

/// A socket's entry in a ledger.
pub(super) struct Entry {
    shared: Arc<Shared>,
    socket: usize,
}

impl Ledger {
    /// Opens a ledger on this thread, in place of any other. It is closed when dropped.
    #[must_use]
    pub fn open() -> Self {
        let shared = Arc::<Shared>::default();
        OPEN.set(Some(shared.clone()));
        Self { shared }
    }

    /// Opens it on another thread, from there: for
    /// [`tokio::runtime::Builder::on_thread_start`].
    pub fn opener(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || OPEN.set(Some(shared.clone()))
    }

    /// The sockets so far, in the order in which they were made, with their counters.
    #[must_use]
    pub fn sockets(&self) -> Vec<(SocketType, Stats)> {
        let sockets = self.shared.0.lock().sockets.clone();
        let stats = |core: &Arc<Core>| (core.socket_type, core.state.lock().stats());
        sockets.iter().map(stats).collect()
    }

    /// What went over the links that have both ends in this ledger, those that
    /// are gone included.
    #[must_use]
    pub fn passages(&self) -> Vec<Passage> {
        let (sockets, links) = {
            let entries = self.shared.0.lock();
            (entries.sockets.clone(), entries.links.clone())
        };
        // A peer that is no socket of ours leaves a record with one side only.
        let paired = links
            .iter()
            .filter(|link| link.dialled.len() == link.accepted.len());
        paired
            .flat_map(|link| {
                let (dialled, accepted) = (&link.dialled, &link.accepted);
                [
                    passage(&sockets, dialled, accepted),
                    passage(&sockets, accepted, dialled),
                ]
            })
            .collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        OPEN.with_borrow_mut(|open| {
            open.take_if(|open| Arc::ptr_eq(open, &self.shared));
        });
        // The sockets know the ledger, and the ledger the sockets.
        let entries = std::mem::take(&mut *self.shared.0.lock());
        drop(entries);
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ledger").finish_non_exhaustive()
    }
}

/// Enters a new socket into the ledger of this thread, if one is open.
pub(super) fn enter(core: &Arc<Core>) {
    let Some(shared) = OPEN.with_borrow(Clone::clone) else {
        return;
    };
    let mut entries = shared.0.lock();
    let socket = entries.sockets.len();
    entries.sockets.push(core.clone());
    drop(entries);
    // A core is entered once, when it is made.
    let _ = core.entry.set(Entry { shared, socket });
}

impl Entry {
    /// A connection has joined its pipe. Called under the socket's lock.
    pub(super) fn attached(&self, attach: &Attach<'_>, id: PipeId, pipe: &Pipe) {
        let end = End {
            socket: self.socket,
            endpoint: Endpoint::clone(attach.endpoint),
            pipe: id,
            before: Count::of(pipe),
            after: None,
        };
        let name = match attach.wire {
            WireName::Unnamed => Name::Endpoint(Endpoint::clone(attach.endpoint)),
            wire => Name::Wire(wire),
        };
        let dialled = attach.pipe.is_some();
        let mut entries = self.shared.0.lock();
        let record = entries.record_for(name, dialled);
        let side = entries.links[record].side(dialled);
        side.push(end);
        let standing = Standing {
            record,
            dialled,
            end: side.len() - 1,
        };
        entries.live.insert((self.socket, id), standing);
    }

    /// A connection is gone, and its pipe has yet to be told. Called under the socket's lock.
    pub(super) fn detached(&self, id: PipeId, pipe: &Pipe) {
        let mut entries = self.shared.0.lock();
        if let Some(standing) = entries.live.remove(&(self.socket, id)) {
            let record = &mut entries.links[standing.record];
            record.side(standing.dialled)[standing.end].after = Some(Count::of(pipe));
        }
    }
}

impl Entries {
    /// Where a new end belongs: beside its other end, or into a record of its own.
    fn record_for(&mut self, name: Name, dialled: bool) -> usize {
        let exact = matches!(name, Name::Wire(_));
        if let Some(place) = self.named.get(&name) {
            // The addresses of a connection that is gone may be used again.
            if !exact || self.links[*place].side(dialled).is_empty() {
                return *place;
            }
        }
        let place = self.links.len();
        self.links.push(Record::default());
        self.named.insert(name, place);
        place
    }
}

impl Record {
    fn side(&mut self, dialled: bool) -> &mut Vec<End> {
        if dialled {
            &mut self.dialled
        } else {
            &mut self.accepted
        }
    }
}

impl End {
    /// What it has counted, and whether it is there and reads.
    fn count(&self, sockets: &[Arc<Core>]) -> (Count, bool) {
        if let Some(after) = self.after {
            return (after.since(self.before), false);
        }
        let mut state = sockets[self.socket].state.lock();
        match state.pipe(self.pipe) {
            Some(pipe) => {
                let count = Count::of(pipe).since(self.before);
                (count, !pipe.is_paused())
            }
            None => (Count::default(), false),
        }
    }
}

impl Count {
    fn of(pipe: &Pipe) -> Self {
        Self {
            written: pipe.sent.written,
            read: pipe.received.received - pipe.own_words,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            written: self.written - before.written,
            read: self.read - before.read,
        }
    }
}

fn passage(sockets: &[Arc<Core>], from: &[End], to: &[End]) -> Passage {
    // What is read is looked at first: it has been written by then.
    let readers = to.iter().map(|end| end.count(sockets));
    let (received, reading) = readers.fold((0, true), |(sum, all), (count, reads)| {
        (sum + count.read, all && reads)
    });
    let written = from.iter().map(|end| end.count(sockets).0.written).sum();
    let (first, last) = (&from[0], &to[0]);
    Passage {
        endpoint: first.endpoint.clone(),
        from: sockets[first.socket].socket_type,
        to: sockets[last.socket].socket_type,
        written,
        received,
        flows: reading && from.iter().all(|end| end.after.is_none()),
    }
}
