//! Where a socket binds or connects: `tcp://host:port`, `ipc://path`, `inproc://name`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address that a socket binds or connects to.
///
/// | form | meaning |
/// |---|---|
/// | `tcp://127.0.0.1:5555`, `tcp://[::1]:5555` | an address |
/// | `tcp://localhost:5555` | a name, resolved anew at each dial |
/// | `tcp://127.0.0.1:*` or port `0` | bind only: a port that the system picks |
/// | `tcp://*:5555` | bind only: every interface |
/// | `ipc:///run/geo.sock` | a socket file, on Unix: up to 107 octets of path |
/// | `ipc://@geo` | an abstract name, on Linux: up to 106 octets, and no file |
/// | `ipc://*` | bind only: a fresh file in the folder for temporary files |
/// | `inproc://name` | a socket in this process: messages pass from one to the other as they are |
/// | `memory://name` | bytes over an in-memory wire within the process: for tests under virtual time |
///
/// ```
/// use pushsub::Endpoint;
///
/// let endpoint: Endpoint = "tcp://127.0.0.1:5555".parse()?;
/// assert_eq!(endpoint.to_string(), "tcp://127.0.0.1:5555");
/// assert!("tcp://".parse::<Endpoint>().is_err());
/// # Ok::<(), pushsub::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `tcp://host:port`.
    Tcp {
        /// The host, or every interface.
        host: Host,
        /// The port; 0 stands for one that the system picks.
        port: u16,
    },
    /// `ipc://path`: processes on the same machine.
    Ipc(IpcName),
    /// `inproc://name`: 1 to 255 octets of name.
    Inproc(String),
    /// `memory://name`: 1 to 255 octets of name.
    Memory(String),
}

/// The host of a tcp endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// `*`: every interface.
    Any,
    /// An address.
    Address(IpAddr),
    /// A name for the resolver.
    Name(String),
}

/// What an ipc endpoint is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpcName {
    /// `*`: a fresh file.
    Any,
    /// A socket file.
    File(PathBuf),
    /// `@name`: a name that is no file and is free when nobody listens (Linux).
    Abstract(String),
}

/// The most octets of the path of a socket file: `sun_path` has 108 on Linux and
/// 104 elsewhere, the last one a zero.
const IPC_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why a text is no endpoint. The fault of whoever wrote the text, which is
/// repeated: what cannot be printed is escaped, and a long one is cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no `scheme://`.
    #[error("'{0}' names no transport: an endpoint starts with one, as in tcp://127.0.0.1:5555")]
    NoTransport(String),
    /// The transport is unknown.
    #[error(
        "'{0}' has an unknown transport: this library knows tcp://, ipc://, inproc:// and memory://"
    )]
    UnknownTransport(String),
    /// The host is empty or has characters that no host has.
    #[error(
        "the host in '{0}' is missing or malformed: write a name, an address, [an IPv6 address] or *"
    )]
    Host(String),
    /// The port is missing or no number of 0 to 65535.
    #[error(
        "the port in '{0}' is missing or malformed: write a number of 1 to 65535, or * to bind any"
    )]
    Port(String),
    /// The path of a socket file is empty, too long for the system, or has
    /// control characters.
    #[error("the path in '{0}' must have 1 to {IPC_PATH} octets and no control characters")]
    Path(String),
    /// This system has no such endpoints: ipc is for Unix, its abstract names are for Linux.
    #[error("this system has no endpoints as '{0}': ipc is for Unix, ipc://@name for Linux")]
    Unsupported(String),
    /// The name is empty, longer than 255 octets, or has control characters.
    #[error("the name in '{0}' must have 1 to 255 octets and no control characters")]
    Name(String),
}

/// Characters of an offending text that an error repeats.
const REPEATED: usize = 64;

/// Which part of a text is wrong: a variant of [`EndpointError`] without the text.
type Fault = fn(String) -> EndpointError;

/// The text as an error repeats it.
fn repeated(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters
        .by_ref()
        .take(REPEATED)
        .flat_map(char::escape_debug)
        .collect();
    if characters.next().is_some() {
        shown.push('\u{2026}');
    }
    shown
}

impl Endpoint {
    /// Whether only programs on this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp {
                host: Host::Address(address),
                ..
            } => address.is_loopback(),
            Self::Tcp {
                host: Host::Name(name),
                ..
            } => name == "localhost",
            Self::Tcp {
                host: Host::Any, ..
            } => false,
            Self::Ipc(_) | Self::Inproc(_) | Self::Memory(_) => true,
        }
    }

    /// Where a service publishes its responses if nobody says: on another port
    /// of the same host, or under another name.
    pub(crate) fn beside(&self) -> Self {
        match self {
            Self::Tcp { host, .. } => Self::Tcp {
                host: host.clone(),
                port: 0,
            },
            Self::Ipc(IpcName::Any) => self.clone(),
            Self::Ipc(IpcName::File(path)) => {
                let mut path = path.clone().into_os_string();
                path.push("-responses");
                Self::Ipc(IpcName::File(path.into()))
            }
            Self::Ipc(IpcName::Abstract(name)) => {
                Self::Ipc(IpcName::Abstract(format!("{name}-responses")))
            }
            Self::Inproc(name) => Self::Inproc(format!("{name}-responses")),
            Self::Memory(name) => Self::Memory(format!("{name}-responses")),
        }
    }

    /// Whether only `bind` can say which endpoint it really is.
    pub(crate) fn is_wildcard(&self) -> bool {
        match self {
            Self::Tcp { host, port } => *host == Host::Any || *port == 0,
            Self::Ipc(name) => *name == IpcName::Any,
            Self::Inproc(_) | Self::Memory(_) => false,
        }
    }
}

/// An unspecified address is the wildcard.
impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let host = match address.ip() {
            ip if ip.is_unspecified() => Host::Any,
            ip => Host::Address(ip),
        };
        let port = address.port();
        Self::Tcp { host, port }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        parse(text).map_err(|fault| fault(repeated(text)))
    }
}

fn parse(text: &str) -> Result<Endpoint, Fault> {
    let (transport, rest) = text
        .split_once("://")
        .ok_or(EndpointError::NoTransport as Fault)?;
    match transport {
        "tcp" => parse_tcp(rest),
        "ipc" => parse_ipc(rest).map(Endpoint::Ipc),
        "inproc" if is_name(rest, 255) => Ok(Endpoint::Inproc(rest.to_owned())),
        "memory" if is_name(rest, 255) => Ok(Endpoint::Memory(rest.to_owned())),
        "inproc" | "memory" => Err(EndpointError::Name),
        _ => Err(EndpointError::UnknownTransport),
    }
}

fn parse_tcp(rest: &str) -> Result<Endpoint, Fault> {
    let (host, port) = rest.rsplit_once(':').ok_or(EndpointError::Port as Fault)?;
    let port = match port {
        "*" => 0,
        digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().map_err(|_| EndpointError::Port as Fault)?
        }
        _ => return Err(EndpointError::Port),
    };
    Ok(Endpoint::Tcp {
        host: parse_host(host)?,
        port,
    })
}

fn parse_ipc(rest: &str) -> Result<IpcName, Fault> {
    if !cfg!(unix) || rest.starts_with('@') && !cfg!(target_os = "linux") {
        return Err(EndpointError::Unsupported);
    }
    match rest.strip_prefix('@') {
        Some(name) if is_name(name, IPC_PATH - 1) => Ok(IpcName::Abstract(name.to_owned())),
        None if rest == "*" => Ok(IpcName::Any),
        None if is_name(rest, IPC_PATH) => Ok(IpcName::File(rest.into())),
        _ => Err(EndpointError::Path),
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.contains(char::is_control)
}

fn parse_host(host: &str) -> Result<Host, Fault> {
    if host == "*" {
        return Ok(Host::Any);
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner
            .strip_suffix(']')
            .ok_or(EndpointError::Host as Fault)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| EndpointError::Host as Fault)?;
        return Ok(Host::Address(address.into()));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        // A bare IPv6 address cannot be told from its port: it wants brackets.
        return if address.is_ipv4() {
            Ok(Host::Address(address))
        } else {
            Err(EndpointError::Host)
        };
    }
    let sound = (1..=253).contains(&host.len())
        && host
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet));
    if sound {
        Ok(Host::Name(host.to_owned()))
    } else {
        Err(EndpointError::Host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port: 0 } => write!(formatter, "tcp://{host}:*"),
            Self::Tcp { host, port } => write!(formatter, "tcp://{host}:{port}"),
            Self::Ipc(name) => write!(formatter, "ipc://{name}"),
            Self::Inproc(name) => write!(formatter, "inproc://{name}"),
            Self::Memory(name) => write!(formatter, "memory://{name}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl fmt::Display for IpcName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Abstract(name) => write!(formatter, "@{name}"),
        }
    }
}

/// What `bind` and `connect` take: an [`Endpoint`] or its text.
pub trait IntoEndpoint {
    /// The endpoint, or why the text is none.
    fn into_endpoint(self) -> Result<Endpoint, EndpointError>;
}

impl IntoEndpoint for Endpoint {
    fn into_endpoint(self) -> Result<Endpoint, EndpointError> {
        Ok(self)
    }
}

impl IntoEndpoint for &Endpoint {
    fn into_endpoint(self) -> Result<Endpoint, EndpointError> {
        Ok(self.clone())
    }
}

impl IntoEndpoint for &str {
    fn into_endpoint(self) -> Result<Endpoint, EndpointError> {
        self.parse()
    }
}

impl IntoEndpoint for String {
    fn into_endpoint(self) -> Result<Endpoint, EndpointError> {
        self.parse()
    }
}

impl IntoEndpoint for &String {
    fn into_endpoint(self) -> Result<Endpoint, EndpointError> {
        self.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, EndpointError};

    #[test]
    fn every_form_of_the_table_survives_its_own_display() {
        for text in [
            "tcp://127.0.0.1:5555",
            "tcp://[::1]:5555",
            "tcp://localhost:5555",
            "tcp://127.0.0.1:*",
            "tcp://*:5555",
            "tcp://*:*",
            "ipc:///run/geo.sock",
            "ipc://relative/*.sock",
            "ipc://*",
            #[cfg(target_os = "linux")]
            "ipc://@geo",
            "inproc://some name/with things",
            "memory://some name/with things",
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), text);
        }
    }

    /// BI-111.
    #[test]
    fn what_is_no_endpoint_is_a_typed_error_that_repeats_the_text() {
        let path = format!("ipc://{}", "a".repeat(108));
        let faults: [(&str, super::Fault); 22] = [
            ("", EndpointError::NoTransport),
            ("127.0.0.1:5555", EndpointError::NoTransport),
            ("http://localhost:80", EndpointError::UnknownTransport),
            ("tcp://", EndpointError::Port),
            ("tcp://host", EndpointError::Port),
            ("tcp://host:", EndpointError::Port),
            ("tcp://host:65536", EndpointError::Port),
            ("tcp://host:-1", EndpointError::Port),
            ("tcp://host:+1", EndpointError::Port),
            ("tcp://:5555", EndpointError::Host),
            ("tcp://[::1", EndpointError::Host),
            ("tcp://[::1:5555", EndpointError::Host),
            ("tcp://::1:5555", EndpointError::Host),
            ("tcp://ho st:5555", EndpointError::Host),
            ("tcp://ho%20st:5555", EndpointError::Host),
            ("ipc://", EndpointError::Path),
            ("ipc://@", EndpointError::Path),
            (path.as_str(), EndpointError::Path),
            ("inproc://", EndpointError::Name),
            ("memory://", EndpointError::Name),
            ("INPROC://name", EndpointError::UnknownTransport),
            ("tcp:/host:1", EndpointError::NoTransport),
        ];
        for (text, fault) in faults {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert_eq!(error, fault(super::repeated(text)));
            let told = error.to_string();
            let start: String = text.chars().take(64).collect();
            assert!(told.contains(&format!("'{start}")), "{told}");
        }
    }

    /// BI-111: what is repeated fits a line and can be printed.
    #[test]
    fn an_error_repeats_the_start_of_a_long_text_and_escapes_what_is_not_printable() {
        let long = format!("tcp://{}:1", "ä".repeat(1 << 19));
        let error = long.parse::<Endpoint>().expect_err("it is too long");
        assert_eq!(error, EndpointError::Host(super::repeated(&long)));
        assert!(error.to_string().len() < 300);
        assert!(error.to_string().contains("ä\u{2026}'"), "{error}");
        for (text, shown) in [
            ("tcp://ho\0st:5555", "tcp://ho\\0st:5555"),
            ("ipc:///tmp/a\nb", "ipc:///tmp/a\\nb"),
            ("memory://a\x1b[31m", "memory://a\\u{1b}[31m"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(shown);
            assert!(error.to_string().contains(shown), "{error}");
        }
    }

    /// BI-111: with the zero at its end a path has 108 octets.
    #[test]
    fn the_longest_path_of_a_socket_file_is_one_octet_short_of_the_field() {
        let longest = "a".repeat(super::IPC_PATH);
        assert!(format!("ipc://{longest}").parse::<Endpoint>().is_ok());
        assert!(format!("ipc://{longest}a").parse::<Endpoint>().is_err());
    }

    #[test]
    fn only_loopback_and_this_machine_are_local() {
        for (text, local) in [
            ("tcp://127.0.0.1:1", true),
            ("tcp://[::1]:1", true),
            ("tcp://localhost:1", true),
            ("ipc://here", true),
            ("inproc://here", true),
            ("memory://here", true),
            ("tcp://*:1", false),
            ("tcp://0.0.0.0:1", false),
            ("tcp://192.0.2.1:1", false),
            ("tcp://example.org:1", false),
        ] {
            assert_eq!(
                text.parse::<Endpoint>().map(|endpoint| endpoint.is_local()),
                Ok(local)
            );
        }
    }
}
