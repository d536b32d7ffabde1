//! A socket of ours and one of libzmq, joined in either role, and the language both ends are told in.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use pushsub::{
    BindError, ConnectError, Dealer, Endpoint, Event, Message, Monitor, Options, Pub, Pull, Push,
    Router, Sub, XPub,
};
use tokio::time::timeout;

use crate::support::{PATIENCE, Script};

/// Who listens, and on what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    WeBind(Transport),
    TheyBind(Transport),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Ipc,
}

/// What all our sockets share and these tests need.
pub(crate) trait Socket {
    async fn listen(&self, endpoint: &str) -> Result<Endpoint, BindError>;
    fn dial(&self, endpoint: &Endpoint) -> Result<(), ConnectError>;
    fn events(&self) -> Monitor;
}

macro_rules! sockets {
    ($($socket:ident),*) => {$(
        impl Socket for $socket {
            async fn listen(&self, endpoint: &str) -> Result<Endpoint, BindError> {
                self.bind(endpoint).await
            }

            fn dial(&self, endpoint: &Endpoint) -> Result<(), ConnectError> {
                self.connect(endpoint)
            }

            fn events(&self) -> Monitor {
                self.monitor()
            }
        }
    )*};
}

sockets!(Push, Pull, Pub, Sub, XPub, Dealer, Router);

/// A peer over libzmq: a process that runs `peer.py`.
pub(crate) struct Peer {
    python: &'static Path,
    script: Script,
    kind: &'static str,
    role: Role,
    endpoint: Endpoint,
    monitor: Monitor,
    /// Where the file of an ipc endpoint lies.
    _folder: Option<Folder>,
}

impl Peer {
    /// Starts a peer of this type and joins it with our socket.
    pub(crate) async fn join(
        python: &'static Path,
        kind: &'static str,
        role: Role,
        ours: &impl Socket,
    ) -> Self {
        let monitor = ours.events();
        let (Role::WeBind(transport) | Role::TheyBind(transport)) = role;
        let folder = (transport == Transport::Ipc).then(Folder::new);
        let place = folder
            .as_ref()
            .map_or_else(|| "tcp://127.0.0.1:*".to_owned(), Folder::endpoint);
        let (script, endpoint) = if let Role::WeBind(_) = role {
            let endpoint = ours.listen(&place).await.expect("a free place");
            (
                start(python, kind, role, &endpoint.to_string()).await.0,
                endpoint,
            )
        } else {
            let (script, endpoint) = start(python, kind, role, &place).await;
            ours.dial(&endpoint).expect("an endpoint to connect to");
            (script, endpoint)
        };
        let mut peer = Self {
            python,
            script,
            kind,
            role,
            endpoint,
            monitor,
            _folder: folder,
        };
        peer.connected().await;
        peer
    }

    /// Kills the process, starts another in its place, and returns when it is connected.
    pub(crate) async fn restart(mut self) -> Self {
        self.script.kill().await;
        await_event(&mut self.monitor, |event| {
            matches!(event, Event::Disconnected { .. })
        })
        .await;
        let endpoint = self.endpoint.to_string();
        self.script = start(self.python, self.kind, self.role, &endpoint).await.0;
        self.connected().await;
        self
    }

    /// Tells the peer a line, and waits for the word that says it is done.
    pub(crate) async fn tell(&mut self, line: &str, answer: &str) {
        self.script.tell(line).await;
        self.script.expect(answer).await;
    }

    /// Tells the peer a line that it answers when it gets the next.
    pub(crate) async fn begin(&mut self, line: &str) {
        self.script.tell(line).await;
    }

    async fn connected(&mut self) {
        await_event(&mut self.monitor, |event| {
            matches!(event, Event::Connected { .. })
        })
        .await;
    }
}

/// A fresh folder; removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushsub-interop-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a name of our own");
        Self(path)
    }

    /// An ipc endpoint in it.
    pub(crate) fn endpoint(&self) -> String {
        format!("ipc://{}/socket", self.0.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Options for tests: a peer that is back is found at once.
pub(crate) fn options() -> Options {
    Options::default().reconnect(Duration::from_millis(10), Duration::from_millis(50))
}

/// One or more frames in the language of `peer.py`, as a message.
pub(crate) fn message(frames: &str) -> Message {
    let frames: Vec<_> = frames.split_whitespace().map(frame).collect();
    Message::from_frames(frames).expect("at least one frame")
}

/// Messages of one frame and of many, from nothing to 1 MiB: both forms of a
/// frame's header, more than one read, and the edges between them.
pub(crate) fn messages() -> Vec<String> {
    const SIZES: [usize; 12] = [
        0,
        1,
        64,
        254,
        255,
        256,
        257,
        8_191,
        8_192,
        65_535,
        65_536,
        1 << 20,
    ];
    let single = SIZES
        .iter()
        .enumerate()
        .map(|(seed, size)| format!("p:{seed}:{size}"));
    let several = [
        "p:20:3 p:21:0 p:22:1048576 p:23:255",
        "p:24:0 p:25:0",
        "p:26:300 p:27:1",
    ];
    let hundred = (0..100)
        .map(|seed| format!("p:{seed}:{seed}"))
        .collect::<Vec<_>>()
        .join(" ");
    single
        .chain(several.map(str::to_owned))
        .chain([hundred])
        .collect()
}

/// What must come soon.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        let output = timeout(PATIENCE, future).await;
        output.unwrap_or_else(|_| panic!("nothing for {PATIENCE:?} at {caller}"))
    }
}

/// A test for each of these functions in both roles, over tcp and over ipc;
/// each is given a Python to play the peer.
macro_rules! in_both_roles {
    ($($name:ident),* $(,)?) => {
        crate::peer::in_both_roles!(@role we_bind, WeBind(Tcp), $($name),*);
        crate::peer::in_both_roles!(@role they_bind, TheyBind(Tcp), $($name),*);
        #[cfg(unix)]
        crate::peer::in_both_roles!(@role we_bind_a_file, WeBind(Ipc), $($name),*);
        #[cfg(unix)]
        crate::peer::in_both_roles!(@role they_bind_a_file, TheyBind(Ipc), $($name),*);
    };
    (@role $module:ident, $role:ident($transport:ident), $($name:ident),*) => {
        mod $module {
            use crate::peer::{Role, Transport};

            $(#[test]
            fn $name() {
                if let Some(python) = crate::support::python() {
                    let role = Role::$role(Transport::$transport);
                    crate::support::guarded(super::$name(python, role));
                }
            })*
        }
    };
}

pub(crate) use in_both_roles;

async fn start(python: &Path, kind: &str, role: Role, endpoint: &str) -> (Script, Endpoint) {
    let theirs = match role {
        Role::WeBind(_) => "connect",
        Role::TheyBind(_) => "bind",
    };
    let mut script = Script::start(python, "peer.py", &[kind, theirs, endpoint, "python"]);
    let endpoint = script.expect("endpoint").await;
    (
        script,
        endpoint.parse().expect("libzmq writes endpoints as we do"),
    )
}

async fn await_event(monitor: &mut Monitor, is_it: fn(&Event) -> bool) {
    let wanted = async { while !is_it(&monitor.next().await.expect("the socket is open")) {} };
    soon(wanted).await;
}

fn frame(text: &str) -> Bytes {
    let (kind, value) = text.split_once(':').expect("kind:value");
    match kind {
        "t" => Bytes::copy_from_slice(value.as_bytes()),
        "h" => (0..value.len() / 2)
            .map(|place| u8::from_str_radix(&value[2 * place..2 * place + 2], 16).expect("hex"))
            .collect(),
        _ => {
            let (seed, size) = value.split_once(':').expect("p:seed:size");
            let (seed, size): (usize, usize) = (
                seed.parse().expect("a number"),
                size.parse().expect("a number"),
            );
            (0..size)
                .map(|place| ((seed + place) % 251) as u8)
                .collect()
        }
    }
}
