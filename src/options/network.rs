//! A range of IP addresses, written as CIDR.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The addresses that begin with the same bits: `10.0.0.0/8`, `fd00::/8`, `127.0.0.1`.
///
/// Bits of the address behind the prefix do not matter; without a prefix all
/// bits do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    /// Bits that matter: at most 32 for IPv4, 128 for IPv6.
    prefix: u32,
}

/// The text is no network: no address, or a prefix longer than the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address and the number of its bits that count, as in 10.0.0.0/8")]
pub struct NetworkError;

impl Network {
    /// Checks and takes the address and the number of bits of it that count.
    pub fn new(address: IpAddr, prefix: u32) -> Result<Self, NetworkError> {
        if prefix > bits(address).1 {
            return Err(NetworkError);
        }
        Ok(Self { address, prefix })
    }

    /// Whether `address` is in it. An address of the other family never is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, width) = bits(self.address);
        let (theirs, other_width) = bits(address);
        // A shift by all bits is none: a prefix of 0 matches everything.
        let differ = (ours ^ theirs)
            .checked_shr(width - self.prefix)
            .unwrap_or(0);
        width == other_width && differ == 0
    }
}

/// The bits of an address, and how many it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError)?
            }
            Some(_) => return Err(NetworkError),
            None => bits(address).1,
        };
        Self::new(address, prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn an_address_is_in_a_network_by_the_bits_that_count() {
        for (network, address, within) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.1/24", "192.0.2.200", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("::1", "::1", true),
            ("::a00:0/104", "10.0.0.0", false),
        ] {
            let parsed: Network = network.parse().expect(network);
            let address = address.parse().expect(address);
            assert_eq!(parsed.contains(address), within, "{address} in {network}");
        }
    }

    /// BI-112.
    #[test]
    fn what_is_no_network_is_a_typed_error() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "10.0/8",
            "10.0.0.0/+8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
