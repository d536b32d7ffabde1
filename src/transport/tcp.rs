//! The tcp transport.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::{ReadHalf, Remote, Wire, WriteHalf};
use crate::endpoint::{Endpoint, Host};
use crate::options::TcpOptions;

/// Connects to the first address of the host that answers.
pub(super) async fn dial(host: &Host, port: u16, options: &TcpOptions) -> io::Result<Wire> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses(host, port).await? {
        match connect(address, options).await {
            Ok(stream) => return wire(stream, address),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn addresses(host: &Host, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host {
        Host::Address(address) => Ok(vec![SocketAddr::new(*address, port)]),
        Host::Name(name) => Ok(lookup_host((name.as_str(), port)).await?.collect()),
        Host::Any => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
    }
}

async fn connect(address: SocketAddr, options: &TcpOptions) -> io::Result<TcpStream> {
    let socket = socket(address, options)?;
    if let Some(source) = options.source_address {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    TcpSocket::from_std_stream(socket.into())
        .connect(address)
        .await
}

fn wire(stream: TcpStream, address: SocketAddr) -> io::Result<Wire> {
    // What is written together leaves together: the pipe batches, so the kernel need not wait.
    stream.set_nodelay(true)?;
    // On a socket of both families an IPv4 peer shows as ::ffff:192.0.2.1.
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let (read, write) = stream.into_split();
    Ok(Wire {
        read: ReadHalf::Tcp(read),
        write: WriteHalf::Tcp(write),
        remote: Remote::Host(address),
    })
}

/// A socket of the address's family, tuned, not blocking, closed on exec (BI-115).
fn socket(address: SocketAddr, options: &TcpOptions) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(device) = &options.device {
        bind_to_device(&socket, device)?;
    }
    #[cfg(target_os = "linux")]
    if address.ip().to_canonical().is_loopback() {
        leave_unpaced(&socket);
    }
    tune(SockRef::from(&socket), address, options)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn bind_to_device(socket: &Socket, device: &str) -> io::Result<()> {
    socket.bind_device(Some(device.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_to_device(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Takes an algorithm of congestion control that does not pace what is sent, where the system's
/// default does: between two ends on one machine there is nothing to congest, and a timer for each
/// write costs much of the throughput. To be called before the connection is made, which inherits
/// it from its listener: a socket that has been paced once stays so.
#[cfg(target_os = "linux")]
fn leave_unpaced(socket: &Socket) {
    let paced = |name: Vec<u8>| name.starts_with(b"bbr");
    if socket.tcp_congestion().is_ok_and(paced) {
        // Which of them there are, and may be taken, is the system's business; it is as well without.
        let _ = socket
            .set_tcp_congestion(b"cubic")
            .or_else(|_| socket.set_tcp_congestion(b"reno"));
    }
}

/// Sets what a connection may be told at any time.
#[allow(
    clippy::needless_pass_by_value,
    reason = "it is a reference by another name"
)]
fn tune(socket: SockRef<'_>, address: SocketAddr, options: &TcpOptions) -> io::Result<()> {
    if let Some(octets) = options.send_buffer {
        socket.set_send_buffer_size(octets)?;
    }
    if let Some(octets) = options.receive_buffer {
        socket.set_recv_buffer_size(octets)?;
    }
    if let Some(keepalive) = options.keepalive {
        let wanted = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.probes);
        socket.set_tcp_keepalive(&wanted)?;
    }
    #[cfg(target_os = "linux")]
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    match options.type_of_service {
        Some(octet) => mark(&socket, address, octet),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn mark(socket: &Socket, address: SocketAddr, octet: u8) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_tos_v4(octet.into()),
        SocketAddr::V6(_) => socket.set_tclass_v6(octet.into()),
    }
}

#[cfg(not(unix))]
fn mark(_: &Socket, _: SocketAddr, _: u8) -> io::Result<()> {
    Ok(())
}

/// A listening tcp socket.
pub(crate) struct Listener {
    socket: TcpListener,
    options: TcpOptions,
}

impl Listener {
    pub(super) async fn bind(
        host: &Host,
        port: u16,
        options: &TcpOptions,
        backlog: u32,
    ) -> io::Result<(Self, Endpoint)> {
        let address = match host {
            Host::Any if options.ipv6 => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
            Host::Any => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
            host => addresses(host, port)
                .await?
                .into_iter()
                .next()
                .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?,
        };
        let socket = socket(address, options)?;
        if address.is_ipv6() {
            socket.set_only_v6(*host != Host::Any)?;
        }
        // A restarted service gets its port back though old connections still time
        // out. On Windows the option would let two listen on one port.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let (listener, bound) = Self::adopt(socket.into(), options)?;
        let port = bound.port();
        let host = match host {
            Host::Any => Host::Any,
            _ => Host::Address(address.ip()),
        };
        Ok((listener, Endpoint::Tcp { host, port }))
    }

    /// Takes over a socket that listens, and says where.
    pub(super) fn adopt(
        socket: std::net::TcpListener,
        options: &TcpOptions,
    ) -> io::Result<(Self, SocketAddr)> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        let address = socket.local_addr()?;
        let options = options.clone();
        Ok((Self { socket, options }, address))
    }

    pub(super) async fn accept(&mut self) -> io::Result<Wire> {
        loop {
            // A connection that its peer has reset by now is no failure of the listener.
            let accepted = match self.accept_stream().await {
                Ok((stream, address)) => wire(stream, address),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            if let Ok(wire) = accepted {
                return Ok(wire);
            }
        }
    }

    async fn accept_stream(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.socket.accept().await?;
        // A connection inherits these from its listener, but not everywhere and
        // not from one that was adopted. One that is gone again cannot be told.
        let _ = tune(SockRef::from(&stream), address, &self.options);
        Ok((stream, address))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::net::TcpStream;

    use super::{Listener, connect};
    use crate::endpoint::Host;
    use crate::options::{Options, TcpOptions};

    const LOOPBACK: &str = "127.0.0.1";

    /// A connection and its accepted other end, both with these options.
    async fn pair(host: &str, options: &TcpOptions) -> [TcpStream; 2] {
        let host = Host::Address(host.parse().expect("an address"));
        let bound = Listener::bind(&host, 0, options, 8).await;
        let (listener, _) = bound.expect("a free port");
        let address = listener.socket.local_addr().expect("it is bound");
        let (dialled, accepted) = tokio::join!(connect(address, options), listener.accept_stream());
        [dialled.expect("it listens"), accepted.expect("dialled").0]
    }

    fn tcp(options: &Options) -> &TcpOptions {
        &options.transport.tcp
    }

    /// B1.
    #[tokio::test]
    async fn both_ends_are_kept_alive_as_asked() {
        let second = Duration::from_secs(1);
        let options = Options::default()
            .tcp_keepalive(30 * second, 5 * second, 4)
            .tcp_user_timeout(7 * second);
        for stream in pair(LOOPBACK, tcp(&options)).await {
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().expect("it is asked"));
            assert_eq!(socket.tcp_keepalive_time().ok(), Some(30 * second));
            assert_eq!(socket.tcp_keepalive_interval().ok(), Some(5 * second));
            assert_eq!(socket.tcp_keepalive_retries().ok(), Some(4));
            assert_eq!(socket.tcp_user_timeout().ok(), Some(Some(7 * second)));
        }
        for stream in pair(LOOPBACK, &TcpOptions::default()).await {
            let socket = SockRef::from(&stream);
            assert!(
                !socket.keepalive().expect("it is asked"),
                "not unless asked"
            );
        }
    }

    #[tokio::test]
    async fn both_ends_have_buffers_as_asked() {
        let options = Options::default()
            .send_buffer(16 << 10)
            .receive_buffer(24 << 10);
        for stream in pair(LOOPBACK, tcp(&options)).await {
            let socket = SockRef::from(&stream);
            // Linux doubles what it is asked for, for its own book-keeping.
            assert_eq!(socket.send_buffer_size().ok(), Some(32 << 10));
            assert_eq!(socket.recv_buffer_size().ok(), Some(48 << 10));
        }
    }

    #[tokio::test]
    async fn both_ends_mark_their_packets_in_either_family() {
        let options = Options::default().type_of_service(0x28);
        for stream in pair(LOOPBACK, tcp(&options)).await {
            assert_eq!(SockRef::from(&stream).tos_v4().ok(), Some(0x28));
        }
        // A machine without IPv6 has nothing to mark there.
        if std::net::TcpListener::bind("[::1]:0").is_err() {
            return;
        }
        for stream in pair("::1", tcp(&options)).await {
            assert_eq!(SockRef::from(&stream).tclass_v6().ok(), Some(0x28));
        }
    }

    /// Says something only where the system's default is to pace.
    #[tokio::test]
    async fn neither_end_within_the_machine_paces_what_it_sends() {
        for stream in pair(LOOPBACK, &TcpOptions::default()).await {
            let algorithm = SockRef::from(&stream).tcp_congestion();
            let algorithm = algorithm.expect("it is asked");
            assert!(!algorithm.starts_with(b"bbr"), "{algorithm:?}");
        }
    }

    #[tokio::test]
    async fn a_device_is_bound_to_and_one_that_is_not_there_is_an_error() {
        let options = Options::default().bind_to_device("lo");
        let [dialled, _accepted] = pair(LOOPBACK, tcp(&options)).await;
        let device = SockRef::from(&dialled).device().expect("it is asked");
        assert_eq!(device.as_deref(), Some(&b"lo"[..]));
        let options = Options::default().bind_to_device("no-such-device");
        let host = Host::Address([127, 0, 0, 1].into());
        let bound = Listener::bind(&host, 0, tcp(&options), 8).await;
        let error = bound.err().expect("there is none of this name");
        assert_ne!(error.kind(), ErrorKind::AddrInUse);
    }
}
