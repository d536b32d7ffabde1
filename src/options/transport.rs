//! What a socket can be told about its transports, and who may come in over them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Options;
use super::network::Network;

/// Options of the transports.
#[derive(Clone, Debug)]
pub(crate) struct TransportOptions {
    pub(crate) backlog: u32,
    /// Connections before the end of their handshake, for each listener.
    pub(crate) half_open: usize,
    /// Connections for each listener.
    pub(crate) connections: usize,
    /// Of them those of one host; `None` limits other machines alone.
    pub(crate) connections_of_host: Option<usize>,
    pub(crate) accepted: Filters,
    pub(crate) stall: StallLimit,
    pub(crate) tcp: TcpOptions,
}

/// How long a peer may take nothing of what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StallLimit {
    /// As the pattern has it.
    OfPattern,
    /// To the instant, or for ever.
    Given(Option<Duration>),
}

/// Options of tcp alone. What is `None` is as the system has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TcpOptions {
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) type_of_service: Option<u8>,
    /// `*` means both families.
    pub(crate) ipv6: bool,
    pub(crate) source_address: Option<IpAddr>,
    pub(crate) device: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    pub(crate) idle: Duration,
    pub(crate) interval: Duration,
    pub(crate) probes: u32,
}

/// Who is let in; an empty list lets in everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    users: Vec<u32>,
    groups: Vec<u32>,
    networks: Vec<Network>,
}

/// Where a peer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A host: tcp.
    Host(IpAddr),
    /// A process on this machine, if the system says which: ipc.
    #[cfg_attr(not(unix), allow(dead_code, reason = "ipc is for Unix"))]
    Process(Option<Credentials>),
    /// This process.
    Here,
}

impl Origin {
    pub(crate) fn credentials(self) -> Option<Credentials> {
        match self {
            Self::Process(credentials) => credentials,
            Self::Host(_) | Self::Here => None,
        }
    }
}

/// Who an ipc peer was when it connected or listened, as the system vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// Its user id.
    pub user: u32,
    /// Its group id.
    pub group: u32,
    /// Its process id, where the system tells it.
    pub process: Option<i32>,
}

impl Credentials {
    #[cfg_attr(not(unix), allow(dead_code, reason = "ipc is for Unix"))]
    pub(crate) fn new(user: u32, group: u32, process: Option<i32>) -> Self {
        Self {
            user,
            group,
            process,
        }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(process) = self.process {
            write!(formatter, "process {process} of ")?;
        }
        write!(formatter, "user {}", self.user)
    }
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            backlog: 1_024,
            half_open: 1_000,
            connections: usize::MAX,
            connections_of_host: None,
            accepted: Filters::default(),
            stall: StallLimit::OfPattern,
            tcp: TcpOptions::default(),
        }
    }
}

impl Filters {
    /// Whether a peer from there may come in.
    pub(crate) fn admit(&self, origin: &Origin) -> bool {
        match origin {
            Origin::Process(credentials) => self.admit_process(*credentials),
            Origin::Host(address) => {
                let mut networks = self.networks.iter();
                self.networks.is_empty() || networks.any(|network| network.contains(*address))
            }
            Origin::Here => true,
        }
    }

    /// With lists of users and of groups, being in one of them is enough.
    fn admit_process(&self, credentials: Option<Credentials>) -> bool {
        if self.users.is_empty() && self.groups.is_empty() {
            return true;
        }
        credentials.is_some_and(|peer| {
            self.users.contains(&peer.user) || self.groups.contains(&peer.group)
        })
    }
}

impl Options {
    /// Connections that the system keeps until they are accepted (`ZMQ_BACKLOG`);
    /// it may have a lower limit of its own. Default 1,024; at least 1.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.transport_mut().backlog = connections;
        self
    }

    /// Connections of one bound endpoint that may be before the end of their
    /// handshake; at the limit accepting pauses, and the backlog fills. Default
    /// 1,000; at least 1. libzmq has no such limit.
    #[must_use]
    pub fn max_half_open(mut self, connections: usize) -> Self {
        self.transport_mut().half_open = connections;
        self
    }

    /// Connections that one bound endpoint holds at a time; a peer beyond them
    /// is turned away, and the monitor tells. Default: no limit; at least 1.
    /// libzmq has no such limit.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.transport_mut().connections = connections;
        self
    }

    /// Connections over tcp that one bound endpoint holds at a time of one host, that
    /// is of one address of IPv4, or of one network of 64 bits of IPv6, whose hosts
    /// choose the rest themselves; a peer beyond them is turned away, and the monitor
    /// tells. Those count that have not ended their handshake, too. At least 1, and
    /// `usize::MAX` is no limit. Default: 4,096, so that many programs may share an
    /// address behind a gateway, and no limit for loopback; a limit that is given
    /// holds there as well. libzmq has no such limit.
    #[must_use]
    pub fn max_connections_per_host(mut self, connections: usize) -> Self {
        self.transport_mut().connections_of_host = Some(connections);
        self
    }

    /// Ends a connection whose peer takes nothing of what waits to be written to
    /// it for this time: a subscriber that never reads, a host that is gone. A
    /// peer that is only busy counts as well, so let it be longer than a peer
    /// may be: 1 ms to 365 days. What was not begun is kept as after any other
    /// cut. `None` waits. libzmq has no such option.
    ///
    /// Default: what the pattern says. Where a slow peer misses messages it is
    /// 30 s, and at most 10 s more until it is noticed: for PUB and XPUB unless they
    /// [block](crate::Overflow::Block), for ROUTER and REP unless they are told to be
    /// [`mandatory`](Self::mandatory), and for PULL, which has answers to PINGs to
    /// write and nothing else. Where a slow peer makes the sender wait, as with
    /// PUSH, DEALER, REQ and PAIR, it is `None`, and so it is for SUB and XSUB, whose
    /// subscriptions an XPUB may leave unread. There a peer may pause for as long as
    /// it is [heard of](Self::heartbeat_interval). Whatever the type, a peer that
    /// sends 1,000 PINGs in 10 s and reads nothing meanwhile is cut.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.transport_mut().stall = StallLimit::Given(timeout);
        self
    }

    /// Lets in only tcp peers from one of these networks
    /// (`ZMQ_TCP_ACCEPT_FILTER`). Default: everybody.
    ///
    /// ```
    /// use pushsub::Options;
    ///
    /// let options = Options::default().accept_networks(["10.0.0.0/8".parse()?, "::1".parse()?]);
    /// # Ok::<(), pushsub::NetworkError>(())
    /// ```
    #[must_use]
    pub fn accept_networks(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.transport_mut().accepted.networks.extend(networks);
        self
    }

    /// Has the system probe a tcp peer that has been silent for `idle`, every
    /// `interval`, and end the connection when `probes` in a row go unanswered
    /// (`ZMQ_TCP_KEEPALIVE`, `_IDLE`, `_INTVL`, `_CNT`). Whole seconds, 1 to
    /// 32,767, and 1 to 127 probes. Default: not; [heartbeats](Self::heartbeat_interval)
    /// show more, but old peers send none.
    #[must_use]
    pub fn tcp_keepalive(mut self, idle: Duration, interval: Duration, probes: u32) -> Self {
        self.transport_mut().tcp.keepalive = Some(Keepalive {
            idle,
            interval,
            probes,
        });
        self
    }

    /// Ends a tcp connection when what was written is not acknowledged for this
    /// time (`ZMQ_TCP_MAXRT`), in milliseconds, from one to `i32::MAX`. Linux only,
    /// without effect elsewhere. Default: as the system has it, some 15 minutes.
    #[must_use]
    pub fn tcp_user_timeout(mut self, timeout: Duration) -> Self {
        self.transport_mut().tcp.user_timeout = Some(timeout);
        self
    }

    /// The system's buffer for what a tcp connection sends, in octets
    /// (`ZMQ_SNDBUF`): 1 to `i32::MAX`; the system may take more or less. Default:
    /// as it thinks best.
    #[must_use]
    pub fn send_buffer(mut self, octets: usize) -> Self {
        self.transport_mut().tcp.send_buffer = Some(octets);
        self
    }

    /// The system's buffer for what a tcp connection receives, in octets
    /// (`ZMQ_RCVBUF`): 1 to `i32::MAX`; the system may take more or less. Default:
    /// as it thinks best.
    #[must_use]
    pub fn receive_buffer(mut self, octets: usize) -> Self {
        self.transport_mut().tcp.receive_buffer = Some(octets);
        self
    }

    /// The type of service, or traffic class, of tcp packets: the octet of the
    /// IP header (`ZMQ_TOS`). Unix only, without effect elsewhere. Default: the
    /// system's, 0.
    #[must_use]
    pub fn type_of_service(mut self, octet: u8) -> Self {
        self.transport_mut().tcp.type_of_service = Some(octet);
        self
    }

    /// Whether `tcp://*` listens on IPv6 and IPv4 instead of IPv4 alone
    /// (`ZMQ_IPV6`). Endpoints with an IPv6 address need no option. Default no.
    #[must_use]
    pub fn ipv6(mut self, ipv6: bool) -> Self {
        self.transport_mut().tcp.ipv6 = ipv6;
        self
    }

    /// The address of this machine from which tcp endpoints are connected (the
    /// part before `;` in an endpoint of libzmq). Default: the one that the
    /// route to the peer has.
    #[must_use]
    pub fn source_address(mut self, address: IpAddr) -> Self {
        self.transport_mut().tcp.source_address = Some(address);
        self
    }

    /// The network interface, by name, that tcp connections are bound to
    /// (`ZMQ_BINDTODEVICE`): nothing comes or goes on another. Linux only;
    /// elsewhere binding fails and connecting never succeeds. A name has 1 to 15
    /// octets without blanks, slashes and control characters. Default: any.
    #[must_use]
    pub fn bind_to_device(mut self, device: impl Into<String>) -> Self {
        self.transport_mut().tcp.device = Some(device.into());
        self
    }

    /// Lets in only ipc peers whose process runs as one of these user ids, or
    /// in one of the [groups](Self::accept_groups) (`ZMQ_IPC_FILTER_UID`). The
    /// mode of a socket file, 0600, keeps out other users but root; an abstract
    /// name has none. Default: everybody who can connect.
    #[must_use]
    pub fn accept_users(mut self, users: impl IntoIterator<Item = u32>) -> Self {
        self.transport_mut().accepted.users.extend(users);
        self
    }

    /// Lets in only ipc peers whose process runs in one of these group ids, or
    /// as one of the [users](Self::accept_users) (`ZMQ_IPC_FILTER_GID`).
    /// Default: everybody who can connect.
    #[must_use]
    pub fn accept_groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.transport_mut().accepted.groups.extend(groups);
        self
    }

    fn transport_mut(&mut self) -> &mut TransportOptions {
        Arc::make_mut(&mut self.transport)
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Options, Origin};

    /// A filter of networks is for tcp, one of users for ipc.
    #[test]
    fn a_filter_of_networks_admits_who_is_in_one_of_them() {
        let network = |text: &str| text.parse().expect("a network");
        let filters = Options::default()
            .accept_networks([network("10.0.0.0/8"), network("::1")])
            .accept_users([1_000])
            .transport
            .accepted
            .clone();
        for (address, admitted) in [("10.1.2.3", true), ("::1", true), ("11.0.0.1", false)] {
            let address = address.parse().expect("an address");
            assert_eq!(filters.admit(&Origin::Host(address)), admitted);
        }
        assert!(filters.admit(&Origin::Here));
    }

    /// B2.
    #[test]
    fn a_filter_of_users_and_groups_admits_who_is_in_either() {
        let filters = Options::default()
            .accept_users([1_000])
            .accept_groups([20])
            .transport
            .accepted
            .clone();
        for (user, group, admitted) in [(1_000, 1, true), (1, 20, true), (1, 1, false)] {
            let peer = Credentials::new(user, group, None);
            assert_eq!(filters.admit(&Origin::Process(Some(peer))), admitted);
        }
        assert!(
            !filters.admit(&Origin::Process(None)),
            "who is not known is not in it"
        );
        assert!(
            Options::default()
                .transport
                .accepted
                .admit(&Origin::Process(None))
        );
    }
}
