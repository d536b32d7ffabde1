//! What is peculiar to tcp: families, source addresses, sockets handed over, who may come in.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use pushsub::{BindError, Endpoint, Event, LinkError, Options, Pull, Push};

use crate::support::{
    Result, connected, disconnected, event, in_real_time, in_virtual_time, memory_name,
};

/// Whether this machine has IPv6. Where it has not, a test says so and returns.
fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        let required = std::env::var("PUSHSUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "PUSHSUB_REQUIRE_ALL is set, and there is no IPv6"
        );
        println!(
            "SKIPPED: no IPv6 on the loopback interface; enable it with sysctl net.ipv6.conf.lo.disable_ipv6=0"
        );
    }
    has
}

async fn exchange(pull: &Pull, endpoint: &Endpoint) -> Result {
    let push = Push::new();
    push.connect(endpoint)?;
    push.send("hello").await?;
    assert_eq!(pull.recv().await?.first(), "hello");
    Ok(())
}

fn port(endpoint: &Endpoint) -> u16 {
    match endpoint {
        Endpoint::Tcp { port, .. } => *port,
        other => panic!("{other} has no port"),
    }
}

/// B1.
#[test]
fn ipv6_is_bound_and_connected_and_its_wildcard_resolved() -> Result {
    if !has_ipv6() {
        return Ok(());
    }
    in_real_time(async {
        let pull = Pull::new();
        let endpoint = pull.bind("tcp://[::1]:0").await?;
        assert_eq!(
            endpoint.to_string(),
            format!("tcp://[::1]:{}", port(&endpoint))
        );
        assert_ne!(port(&endpoint), 0);
        exchange(&pull, &endpoint).await
    })
}

/// B1: with the option `*` is both families, without it one.
#[test]
fn every_interface_is_both_families_where_that_is_wanted() -> Result {
    if !has_ipv6() {
        return Ok(());
    }
    in_real_time(async {
        let open = Options::default().allow_plaintext();
        let pull = Pull::with_options(open.clone().ipv6(true))?;
        let mut monitor = pull.monitor();
        let port = port(&pull.bind("tcp://*:*").await?);
        for host in ["127.0.0.1", "[::1]"] {
            exchange(&pull, &format!("tcp://{host}:{port}").parse()?).await?;
            let peer = event(&mut monitor, |event| {
                matches!(event, Event::Connected { .. })
            })
            .await;
            let Event::Connected { peer, .. } = peer else {
                unreachable!("awaited above")
            };
            assert!(peer.address.starts_with(host), "{}", peer.address);
        }
        let pull = Pull::with_options(open)?;
        let port = self::port(&pull.bind("tcp://*:*").await?);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        assert!(TcpStream::connect(("::1", port)).is_err());
        Ok(())
    })
}

/// B1.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_comes_from_the_source_address() -> Result {
    in_real_time(async {
        let pull = Pull::new();
        let mut monitor = pull.monitor();
        let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
        let source = IpAddr::from([127, 0, 0, 9]);
        let push = Push::with_options(Options::default().source_address(source))?;
        push.connect(&endpoint)?;
        event(&mut monitor, |event| {
            matches!(event, Event::Connected { peer, .. } if peer.address.starts_with("127.0.0.9:"))
        })
        .await;
        Ok(())
    })
}

/// B9.
#[test]
fn a_socket_that_listens_is_taken_over_and_handed_on() -> Result {
    in_real_time(async {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let first = Pull::new();
        let endpoint = first.bind_listener(socket.try_clone()?)?;
        assert_eq!(endpoint, Endpoint::from(address));
        exchange(&first, &endpoint).await?;
        first.close(Duration::ZERO).await;
        // Nobody accepts now, and yet nobody is refused.
        let push = Push::new();
        push.connect(&endpoint)?;
        let waiting = TcpStream::connect(address)?;
        let second = Pull::new();
        second.bind_listener(socket)?;
        push.send("hello").await?;
        assert_eq!(second.recv().await?.first(), "hello");
        drop(waiting);
        Ok(())
    })
}

/// J5, B9: a socket that is handed over must not be open to the world either.
#[test]
fn a_socket_beyond_loopback_is_taken_over_only_with_a_word() -> Result {
    in_real_time(async {
        let socket = || TcpListener::bind("0.0.0.0:0");
        let refused = Pull::new().bind_listener(socket()?);
        assert!(matches!(refused, Err(BindError::Plaintext(_))));
        let open = Pull::with_options(Options::default().allow_plaintext())?;
        open.bind_listener(socket()?)?;
        Ok(())
    })
}

#[test]
fn outside_of_a_runtime_taking_over_is_a_typed_error() -> Result {
    let taken = Pull::new().bind_listener(TcpListener::bind("127.0.0.1:0")?);
    assert!(matches!(taken, Err(BindError::NoRuntime)));
    Ok(())
}

#[test]
fn a_peer_from_outside_of_the_networks_is_turned_away_with_an_event() -> Result {
    in_real_time(async {
        for (network, admitted) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
            let options = Options::default().accept_networks([network.parse()?]);
            let pull = Pull::with_options(options)?;
            let mut monitor = pull.monitor();
            let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
            let push = Push::new();
            push.connect(&endpoint)?;
            event(&mut monitor, |event| match event {
                Event::Connected { .. } => admitted,
                Event::Refused { reason, .. } => !admitted && *reason == LinkError::NotAdmitted,
                _ => false,
            })
            .await;
        }
        Ok(())
    })
}

async fn a_peer_beyond_the_limit_gets_in_when_another_leaves(endpoint: String) -> Result {
    let pull = Pull::with_options(Options::default().max_connections(1))?;
    let mut monitor = pull.monitor();
    let endpoint = pull.bind(&endpoint).await?;
    let first = Push::new();
    first.connect(&endpoint)?;
    connected(&mut monitor).await;
    let quick = Options::default().reconnect(Duration::from_millis(1), Duration::from_millis(5));
    let second = Push::with_options(quick)?;
    second.connect(&endpoint)?;
    event(&mut monitor, |event| {
        matches!(
            event,
            Event::Refused {
                reason: LinkError::TooManyConnections,
                ..
            }
        )
    })
    .await;
    first.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    connected(&mut monitor).await;
    second.send("hello").await?;
    assert_eq!(pull.recv().await?.first(), "hello");
    Ok(())
}

#[test]
fn over_tcp_a_peer_beyond_the_limit_gets_in_when_another_leaves() -> Result {
    let endpoint = "tcp://127.0.0.1:*".to_owned();
    in_real_time(a_peer_beyond_the_limit_gets_in_when_another_leaves(
        endpoint,
    ))
}

/// C15: the limit of a host counts those that hold their connection, also before their handshake.
#[test]
fn a_host_beyond_its_limit_gets_in_when_it_has_left_a_place() -> Result {
    in_real_time(async {
        let pull = Pull::with_options(Options::default().max_connections_per_host(2))?;
        let mut monitor = pull.monitor();
        let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
        let address = endpoint.to_string();
        let silent = TcpStream::connect(address.trim_start_matches("tcp://"))?;
        let first = Push::new();
        first.connect(&endpoint)?;
        connected(&mut monitor).await;
        let quick =
            Options::default().reconnect(Duration::from_millis(1), Duration::from_millis(5));
        let second = Push::with_options(quick)?;
        second.connect(&endpoint)?;
        event(&mut monitor, |event| {
            matches!(
                event,
                Event::Refused {
                    reason: LinkError::TooManyOfHost,
                    ..
                }
            )
        })
        .await;
        drop(silent);
        connected(&mut monitor).await;
        second.send("hello").await?;
        assert_eq!(pull.recv().await?.first(), "hello");
        Ok(())
    })
}

#[test]
fn within_the_process_a_peer_beyond_the_limit_gets_in_when_another_leaves() -> Result {
    let endpoint = format!("inproc://{}", memory_name());
    in_virtual_time(a_peer_beyond_the_limit_gets_in_when_another_leaves(
        endpoint,
    ))
}

/// BI-20: beyond the limit nobody is accepted until one is done, here by its time.
#[test]
fn at_the_limit_of_half_open_connections_accepting_pauses() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let options = Options::default().max_half_open(1);
        let pull = Pull::with_options(options.handshake_timeout(Duration::from_secs(1)))?;
        let endpoint = pull.bind(format!("memory://{name}")).await?;
        let mut monitor = pull.monitor();
        let _silent = pushsub::testing::dial(&name)?;
        let push = Push::new();
        push.connect(&endpoint)?;
        let first = event(&mut monitor, |_| true).await;
        let reason = LinkError::HandshakeTimeout;
        assert!(matches!(first, Event::Refused { reason: given, .. } if given == reason));
        connected(&mut monitor).await;
        Ok(())
    })
}

/// BI-115: what a program starts does not inherit our connections.
#[cfg(target_os = "linux")]
#[test]
fn every_descriptor_is_closed_on_exec() -> Result {
    in_real_time(async {
        let pull = Pull::new();
        let mut monitor = pull.monitor();
        let tcp = pull.bind("tcp://127.0.0.1:*").await?;
        let ipc = pull.bind("ipc://*").await?;
        let push = Push::new();
        push.connect(&tcp)?;
        push.connect(&ipc)?;
        connected(&mut monitor).await;
        connected(&mut monitor).await;
        let mut sockets = 0;
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let path = entry?.path();
            let name = path.file_name().ok_or("it has a name")?.to_owned();
            // Other tests close theirs meanwhile.
            let Ok(target) = std::fs::read_link(&path) else {
                continue;
            };
            let fdinfo = std::path::Path::new("/proc/self/fdinfo").join(name);
            let Ok(info) = std::fs::read_to_string(fdinfo) else {
                continue;
            };
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(flags.ok_or("it has flags")?.trim(), 8)?;
            if target.to_string_lossy().starts_with("socket:") {
                sockets += 1;
                assert_eq!(flags & 0o2_000_000, 0o2_000_000, "{}", target.display());
            }
        }
        assert!(
            sockets >= 6,
            "two that listen and both ends of two connections"
        );
        Ok(())
    })
}
