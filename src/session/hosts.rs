//! Counts the connections of a listener by the hosts that they come from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::options::Origin;

/// Connections of one host to one listener, unless an option says otherwise: some
/// thousand programs may share an address behind a gateway.
const OF_ONE_HOST: usize = 4_096;

/// Who is connected to one listener.
pub(super) struct Hosts {
    /// `Options::max_connections_per_host`.
    limit: Option<usize>,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The place of one connection: dropped it is free again.
pub(super) struct OfHost {
    host: IpAddr,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Hosts {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            counts: Arc::default(),
        }
    }

    /// A place for a connection from there: `Ok(None)` where nothing is counted,
    /// and an error where its host has as many as it may.
    pub(super) fn take_place(&self, origin: Origin) -> Result<Option<OfHost>, Full> {
        let Origin::Host(address) = origin else {
            return Ok(None);
        };
        let Some(limit) = self.limit_of(address) else {
            return Ok(None);
        };
        let host = host_of(address);
        let mut counts = self.counts.lock();
        let count = counts.entry(host).or_default();
        // Never zero, so no entry is left behind: the limit is at least one.
        if *count >= limit {
            return Err(Full);
        }
        *count += 1;
        let counts = self.counts.clone();
        Ok(Some(OfHost { host, counts }))
    }

    /// All programs of this machine come from loopback, and are limited by request only.
    fn limit_of(&self, address: IpAddr) -> Option<usize> {
        let default = (!address.is_loopback()).then_some(OF_ONE_HOST);
        self.limit.or(default)
    }
}

/// The host has as many connections as it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Drop for OfHost {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.host);
            }
        }
    }
}

/// What a host may choose freely of its address says nothing: of IPv6 that is the
/// lower half.
fn host_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) if address.is_loopback() => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, Hosts, OF_ONE_HOST, OfHost};
    use crate::options::Origin;

    fn take(hosts: &Hosts, address: &str) -> Result<Option<OfHost>, Full> {
        let address = address.parse().expect("an address");
        hosts.take_place(Origin::Host(address))
    }

    /// C15.
    #[test]
    fn a_host_has_so_many_places_and_another_its_own() {
        let hosts = Hosts::new(Some(2));
        let first = take(&hosts, "192.0.2.1");
        let _second = take(&hosts, "192.0.2.1");
        assert!(take(&hosts, "192.0.2.1").is_err());
        let _other = take(&hosts, "192.0.2.2").expect("another host");
        drop(first);
        assert!(take(&hosts, "192.0.2.1").is_ok(), "one has left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_host() {
        let hosts = Hosts::new(Some(1));
        let _first = take(&hosts, "2001:db8::1").expect("the first");
        assert!(take(&hosts, "2001:db8::ffff:2").is_err());
        assert!(take(&hosts, "2001:db8:0:1::1").is_ok());
    }

    /// C15.
    #[test]
    fn by_default_only_other_machines_are_limited() {
        let hosts = Hosts::new(None);
        let places: Vec<_> = (0..OF_ONE_HOST)
            .map(|_| take(&hosts, "192.0.2.1").expect("there is room"))
            .collect();
        assert!(take(&hosts, "192.0.2.1").is_err());
        for here in ["127.0.0.1", "::1"] {
            assert!(matches!(take(&hosts, here), Ok(None)), "{here}");
        }
        assert!(matches!(hosts.take_place(Origin::Here), Ok(None)));
        drop(places);
        assert!(hosts.counts.lock().is_empty(), "nobody is remembered");
    }
}
