//! What ZMTP and the patterns of ZeroMQ ask for, row by row of `tests/rows.md`: a module for each chapter.
//!
//! The peer is played octet by octet, and the inputs are generated where a row speaks of all of them.

mod connections;
mod framing;
mod greeting;
mod heartbeat;
mod null;
mod operations;
mod overflow;
mod publish;
mod queues;
mod request_reply;

use std::time::Duration;

use futures::future::BoxFuture;
use pushsub::testing::{Listening, dial};
use pushsub::{
    Dealer, Endpoint, Monitor, Options, Pair, Pub, Pull, Push, Rep, Req, Router, SocketType, Stats,
    Sub, XPub, XSub,
};
use tokio::time::timeout;

use crate::support::peer::{Peer, command, greeting, ready};
use crate::support::{Result, memory_name};

/// A socket whose type is known at run time.
trait Socket {
    fn bind<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, Result<Endpoint>>;
    fn connect(&self, endpoint: &str) -> Result;
    fn stats(&self) -> Stats;
    fn monitor(&self) -> Monitor;
}

macro_rules! sockets {
    ($($type:ident)*) => {
        $(impl Socket for $type {
            fn bind<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, Result<Endpoint>> {
                Box::pin(async move { Ok(self.bind(endpoint).await?) })
            }
            fn connect(&self, endpoint: &str) -> Result {
                Ok(self.connect(endpoint)?)
            }
            fn stats(&self) -> Stats {
                self.stats()
            }
            fn monitor(&self) -> Monitor {
                self.monitor()
            }
        })*

        /// A socket of this type with these options.
        fn socket_with(socket_type: SocketType, options: Options) -> Box<dyn Socket> {
            match socket_type {
                $(SocketType::$type => Box::new(
                    $type::with_options(options).expect("options of every type"),
                ),)*
            }
        }
    };
}

sockets!(Pair Pub Sub XPub XSub Push Pull Req Rep Dealer Router);

/// A socket of this type that sends no PING of its own.
fn socket(socket_type: SocketType) -> Box<dyn Socket> {
    socket_with(socket_type, quiet())
}

/// Options under which nothing is said that the test does not ask for.
fn quiet() -> Options {
    Options::default().heartbeat_interval(None)
}

/// The type that a peer may have to talk to this one.
fn partner(socket_type: SocketType) -> SocketType {
    let mut types = SocketType::ALL.into_iter();
    let fits = types.find(|peer| socket_type.accepts(*peer));
    fits.expect("every type has one")
}

/// Which end of the connection our socket is.
#[derive(Clone, Copy, Debug)]
enum Role {
    Binds,
    Connects,
}

const ROLES: [Role; 2] = [Role::Binds, Role::Connects];

/// A wire to the socket, on which neither side has said anything.
async fn meet(socket: &dyn Socket, role: Role) -> Result<Peer> {
    let name = memory_name();
    let endpoint = format!("memory://{name}");
    let wire = match role {
        Role::Binds => {
            socket.bind(&endpoint).await?;
            dial(&name)?
        }
        Role::Connects => {
            let mut listening = Listening::bind(&name)?;
            socket.connect(&endpoint)?;
            listening.accept().await?
        }
    };
    Ok(Peer::new(wire))
}

/// Shakes hands on a fresh wire. Returns the body of the socket's READY.
async fn shake(peer: &mut Peer, socket_type: SocketType, minor: u8) -> Result<Vec<u8>> {
    let said = [greeting(minor), ready(socket_type.name(), b"")].concat();
    peer.write(&said).await?;
    peer.read(64).await?;
    let (flags, body) = peer.frame().await?;
    assert_eq!(flags, 4, "the answer to a greeting is a command: READY");
    Ok(body)
}

/// A peer that has shaken hands with a socket that is bound.
async fn joined(socket: &dyn Socket, socket_type: SocketType) -> Result<Peer> {
    let mut peer = meet(socket, Role::Binds).await?;
    shake(&mut peer, socket_type, 1).await?;
    settled(&mut peer).await?;
    Ok(peer)
}

/// Waits until the socket has read all that was written to it, and has sent nothing but the answer.
async fn settled(peer: &mut Peer) -> Result {
    peer.write(&command(b"\x04PING\0\0settled")).await?;
    assert_eq!(peer.frame().await?, (4, b"\x04PONGsettled".to_vec()));
    Ok(())
}

/// The frames of the next message.
async fn message(peer: &mut Peer) -> Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    loop {
        let (flags, body) = peer.frame().await?;
        assert_eq!(flags & 4, 0, "a message, not {body:?}");
        frames.push(body);
        if flags & 1 == 0 {
            return Ok(frames);
        }
    }
}

/// Checks that nothing comes for a minute.
async fn assert_silent(peer: &mut Peer) {
    let heard = timeout(Duration::from_secs(60), peer.read(1)).await;
    assert!(heard.is_err(), "{heard:?}");
}

/// A frame in the long form.
fn long_frame(flags: u8, body: &[u8]) -> Vec<u8> {
    [&[flags | 2], &(body.len() as u64).to_be_bytes()[..], body].concat()
}

/// A frame in the form that its size asks for.
fn sized_frame(flags: u8, body: &[u8]) -> Vec<u8> {
    match u8::try_from(body.len()) {
        Ok(length) => [&[flags, length], body].concat(),
        Err(_) => long_frame(flags, body),
    }
}

/// All frames of a message.
fn octets(frames: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let last = frames.len() - 1;
    let encoded = frames.iter().enumerate();
    encoded
        .flat_map(|(place, frame)| sized_frame(u8::from(place < last), frame.as_ref()))
        .collect()
}

/// Yields until it is so. Under virtual time whatever can happen has happened by then.
#[track_caller]
fn until(mut wanted: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let mut turns = 0;
        while !wanted() {
            turns += 1;
            assert!(turns < 100_000, "it never is, at {caller}");
            tokio::task::yield_now().await;
        }
    }
}
