//! The texts of endpoints: what is one prints and reads as the same, and what is none is told in a line.

use crate::endpoint::{Endpoint, Host};

/// A text, or octets made one.
pub fn endpoints(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let endpoint: Endpoint = match text.parse() {
        Ok(endpoint) => endpoint,
        Err(fault) => {
            let told = fault.to_string();
            // 64 characters of at most ten octets each, and a sentence.
            assert!(
                told.len() < 800 && !told.contains(char::is_control),
                "{told}"
            );
            return;
        }
    };
    let printed = endpoint.to_string();
    assert_eq!(printed.parse().as_ref(), Ok(&endpoint), "{printed}");
    assert!(!printed.contains(char::is_control));
    // A scheme, a host or path of 253 or 255 octets, a port.
    assert!(printed.len() <= 9 + 255 + 6, "{printed}");
    let (scheme, rest) = printed.split_once("://").expect("a scheme");
    assert!(text.starts_with(scheme) && !rest.is_empty());
    match &endpoint {
        Endpoint::Tcp { host, port } => {
            assert_eq!(endpoint.is_wildcard(), *host == Host::Any || *port == 0);
            assert!(!(endpoint.is_local() && *host == Host::Any));
        }
        Endpoint::Ipc(_) => assert_eq!(endpoint.is_wildcard(), rest == "*"),
        Endpoint::Inproc(name) | Endpoint::Memory(name) => {
            assert_eq!(*name, rest);
            assert!(endpoint.is_local() && !endpoint.is_wildcard());
        }
    }
}
