//! The ipc transport: Unix sockets, as files or, on Linux, as abstract names.

use std::ffi::OsString;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::{ReadHalf, Remote, Wire, WriteHalf};
use crate::endpoint::{Endpoint, IpcName};
use crate::options::Credentials;

/// Who may connect to a socket file: the user whose process listens.
const MODE: u32 = 0o600;

/// Fresh names that are tried for a wildcard; the first one is free but for a miracle.
const NAMES_TRIED: usize = 8;

/// How often, and after what waits, a folder's lock is asked for, which is held for microseconds.
const LOCK_TRIES: usize = 100;
const LOCK_WAIT: Duration = Duration::from_millis(10);

pub(super) async fn dial(name: &IpcName) -> io::Result<Wire> {
    UnixStream::connect(address(name)?).await.map(wire)
}

fn wire(stream: UnixStream) -> Wire {
    let credentials = stream
        .peer_cred()
        .ok()
        .map(|peer| Credentials::new(peer.uid(), peer.gid(), peer.pid()));
    let (read, write) = stream.into_split();
    Wire {
        read: ReadHalf::Ipc(read),
        write: WriteHalf::Ipc(write),
        remote: Remote::Process(credentials),
    }
}

/// A listening Unix socket. Dropping it removes its file, if that is still its own.
pub(crate) struct Listener {
    socket: UnixListener,
    _file: Option<SocketFile>,
}

impl Listener {
    /// Binds. A socket file on which nobody listens is replaced (FT-45); one on
    /// which somebody does, and what is no socket, is `AddrInUse`.
    pub(super) async fn bind(name: &IpcName, backlog: u32) -> io::Result<(Self, Endpoint)> {
        let bound = match name {
            IpcName::Any => bind_fresh(backlog)?,
            IpcName::Abstract(_) => (listen(&address(name)?, backlog)?, name.clone(), None),
            IpcName::File(path) => {
                let (socket, file) = match bind_file(path, backlog) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        take_over(path, backlog).await?
                    }
                    bound => bound?,
                };
                (socket, name.clone(), Some(file))
            }
        };
        let (socket, name, file) = bound;
        let listener = Self {
            socket: UnixListener::from_std(OwnedFd::from(socket).into())?,
            _file: file,
        };
        Ok((listener, Endpoint::Ipc(name)))
    }

    pub(super) async fn accept(&mut self) -> io::Result<Wire> {
        self.socket.accept().await.map(|(stream, _)| wire(stream))
    }
}

/// A socket file of ours, known by its device and inode: another process may
/// have put its own in the same place.
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn is_in_place(&self) -> bool {
        inode(&self.path).is_ok_and(|inode| inode == self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            // One that cannot be removed is stale, and the next to bind takes it over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn bind_fresh(backlog: u32) -> io::Result<(Socket, IpcName, Option<SocketFile>)> {
    let mut tried = 0;
    loop {
        let file = format!("pushsub-{:016x}.sock", fastrand::u64(..));
        let path = std::env::temp_dir().join(file);
        tried += 1;
        match bind_file(&path, backlog) {
            Ok((socket, file)) => return Ok((socket, IpcName::File(path), Some(file))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < NAMES_TRIED => {}
            Err(error) => return Err(error),
        }
    }
}

/// Binds a file that is not there.
fn bind_file(path: &Path, backlog: u32) -> io::Result<(Socket, SocketFile)> {
    let socket = bound(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: inode(path)?,
    };
    // Nobody can connect before it listens, and by then the mode is set.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    start_listening(&socket, backlog)?;
    // Before it listened, another may have taken it for a stale one.
    if file.is_in_place() {
        Ok((socket, file))
    } else {
        Err(io::Error::from(io::ErrorKind::AddrInUse))
    }
}

/// Replaces a stale socket file.
///
/// The lock of its folder is held from the proof that nobody listens to the
/// moment that we do, so that of two that find it stale only one replaces it.
async fn take_over(path: &Path, backlog: u32) -> io::Result<(Socket, SocketFile)> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let folder = File::open(parent.unwrap_or(Path::new(".")))?;
    lock(&folder).await?;
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() && is_stale(path) => {
            fs::remove_file(path)?;
        }
        Ok(_) => return Err(in_use()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    bind_file(path, backlog)
}

async fn lock(folder: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => sleep(LOCK_WAIT).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

/// Whether nobody listens. A listener with a full backlog, and one whom we may
/// not reach, are alive.
fn is_stale(path: &Path) -> bool {
    let Ok(socket) = Socket::new(Domain::UNIX, Type::STREAM, None) else {
        return false;
    };
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    socket.set_nonblocking(true).is_ok()
        && SockAddr::unix(path)
            .and_then(|address| socket.connect(&address))
            .is_err_and(refused)
}

fn listen(path: &Path, backlog: u32) -> io::Result<Socket> {
    let socket = bound(path)?;
    start_listening(&socket, backlog)?;
    Ok(socket)
}

fn bound(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn start_listening(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// What the system calls it: an abstract name begins with a zero octet.
fn address(name: &IpcName) -> io::Result<PathBuf> {
    match name {
        IpcName::File(path) => Ok(path.clone()),
        IpcName::Abstract(name) => {
            let mut address = OsString::from("\0");
            address.push(name);
            Ok(address.into())
        }
        IpcName::Any => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
    }
}
