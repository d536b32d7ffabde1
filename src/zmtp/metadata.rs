//! The properties that READY carries: names and values, bounded.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::options::{SocketType, is_property_name};

/// The properties of a peer, or ours. Names are unique but for their case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// At most [`MAX_PROPERTIES`], in the order in which they came. What most peers say is [shared](COMMON).
    properties: Cow<'static, [Property]>,
}

/// A name and a value. The names that every peer has are constants.
type Property = (Cow<'static, str>, Bytes);

/// What a peer says that has no name of its own and nothing to add, or the first of the two alone where a
/// name would mean nothing. Each of very many peers costs nothing for it.
static COMMON: LazyLock<[[Property; 2]; SocketType::ALL.len()]> = LazyLock::new(|| {
    SocketType::ALL.map(|socket_type| {
        let name = Bytes::from_static(socket_type.name().as_bytes());
        [(SOCKET_TYPE.into(), name), (IDENTITY.into(), Bytes::new())]
    })
});

/// The property with the name of a socket's type.
pub(super) const SOCKET_TYPE: &str = "Socket-Type";

/// The property with the name by which a ROUTER is to know the peer.
pub(super) const IDENTITY: &str = "Identity";

/// The most properties of a READY.
pub(crate) const MAX_PROPERTIES: usize = 64;

/// The most octets of all properties together.
pub(crate) const MAX_METADATA: usize = 8 << 10;

/// Why octets are no properties. The peer's fault; the link is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    /// The octets end within a property.
    #[error("the peer's metadata ends within a property")]
    Truncated,
    /// A name is empty or has an octet that no name has.
    #[error("the peer's metadata has a property without a proper name")]
    Name,
    /// A name stands there twice, if perhaps in another case.
    #[error("the peer's metadata has a property twice")]
    Duplicate,
    /// There are more properties or octets than are kept.
    #[error("the peer's metadata has more than 64 properties or 8 KiB")]
    TooMuch,
}

impl Metadata {
    /// Reads properties until the octets end (37/ZMTP, Connection Metadata).
    /// They are copied: they live as long as the link, the read buffer does not.
    pub(crate) fn parse(mut octets: &[u8]) -> Result<Self, MetadataError> {
        if octets.len() > MAX_METADATA {
            return Err(MetadataError::TooMuch);
        }
        let mut metadata = Self::default();
        while let Some((length, rest)) = octets.split_first() {
            let length = usize::from(*length);
            let (name, rest) = rest
                .split_at_checked(length)
                .ok_or(MetadataError::Truncated)?;
            let name = property_name(name).ok_or(MetadataError::Name)?;
            let (length, rest) = rest.split_first_chunk().ok_or(MetadataError::Truncated)?;
            // A length over 2^31 - 1 is over what is left, too.
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let (value, rest) = rest
                .split_at_checked(length)
                .ok_or(MetadataError::Truncated)?;
            if metadata.property(name).is_some() {
                return Err(MetadataError::Duplicate);
            }
            if metadata.properties.len() == MAX_PROPERTIES {
                return Err(MetadataError::TooMuch);
            }
            metadata.insert(name, property_value(value));
            octets = rest;
        }
        Ok(metadata.shared())
    }

    /// The same, without memory of its own where others say no less and no more.
    fn shared(self) -> Self {
        let common = COMMON.iter().flat_map(|both| [&both[..1], both]);
        let mut same = common.filter(|common| **common == *self.properties);
        same.next().map_or(self, |common| Self {
            properties: Cow::Borrowed(common),
        })
    }

    /// Appends a property. The name is one of ours, or was checked.
    pub(crate) fn insert(&mut self, name: &str, value: Bytes) {
        let name = match name {
            SOCKET_TYPE => SOCKET_TYPE.into(),
            IDENTITY => IDENTITY.into(),
            other => other.to_owned().into(),
        };
        self.properties.to_mut().push((name, value));
    }

    /// The value of a property; the case of the name does not matter (37/ZMTP).
    pub(crate) fn property(&self, name: &str) -> Option<&Bytes> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Names and values in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.properties.iter().map(|(name, value)| (&**name, value))
    }

    /// Appends the octets that [`parse`](Self::parse) reads.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            let name_length = u8::try_from(name.len()).expect("names have at most 255 octets");
            let length = u32::try_from(value.len()).expect("values are within 8 KiB");
            out.push(name_length);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
        }
    }
}

/// A value that lives as long as the link; the names of socket types are constants, too.
fn property_value(value: &[u8]) -> Bytes {
    match SocketType::from_name(value) {
        Some(known) => Bytes::from_static(known.name().as_bytes()),
        None => Bytes::copy_from_slice(value),
    }
}

/// The name, where it is one (37/ZMTP).
fn property_name(octets: &[u8]) -> Option<&str> {
    is_property_name(octets)
        .then(|| str::from_utf8(octets).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use bytes::Bytes;

    use super::{Metadata, MetadataError};

    fn property(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut octets = vec![name.len() as u8];
        octets.extend_from_slice(name);
        octets.extend_from_slice(&(value.len() as u32).to_be_bytes());
        octets.extend_from_slice(value);
        octets
    }

    #[track_caller]
    fn assert_refused(octets: &[u8], error: MetadataError) {
        assert_eq!(Metadata::parse(octets), Err(error));
    }

    /// N04, N12: values may be empty, unknown names are kept.
    #[test]
    fn properties_survive_their_own_encoding() {
        let mut metadata = Metadata::default();
        metadata.insert("Socket-Type", Bytes::from("PUSH"));
        metadata.insert("X-Empty", Bytes::new());
        metadata.insert("X-+._9", Bytes::from(vec![0; 300]));
        let mut octets = Vec::new();
        metadata.encode(&mut octets);
        assert_eq!(Metadata::parse(&octets), Ok(metadata));
    }

    #[test]
    fn what_most_peers_say_takes_no_memory_of_each() {
        let socket_type = property(b"Socket-Type", b"DEALER");
        let nameless = [&*socket_type, &property(b"Identity", b"")].concat();
        let named = [&*socket_type, &property(b"Identity", b"a")].concat();
        let is_shared = |octets: &[u8]| {
            let metadata = Metadata::parse(octets).unwrap();
            let mut encoded = Vec::new();
            metadata.encode(&mut encoded);
            assert_eq!(encoded, octets);
            matches!(metadata.properties, Cow::Borrowed(_))
        };
        assert!(is_shared(&socket_type) && is_shared(&nameless));
        assert!(!is_shared(&named));
    }

    /// N05.
    #[test]
    fn the_case_of_a_name_does_not_matter() {
        let metadata = Metadata::parse(&property(b"sOCKET-tYPE", b"PUB")).unwrap();
        assert_eq!(metadata.property("Socket-Type"), Some(&Bytes::from("PUB")));
        assert_eq!(metadata.property("Socket"), None);
    }

    /// BI-44.
    #[test]
    fn properties_cut_anywhere_but_between_two_are_refused() {
        let first = property(b"Socket-Type", b"PUSH");
        let mut octets = first.clone();
        octets.extend(property(b"X-Color", b"red"));
        for cut in 0..=octets.len() {
            let whole = [0, first.len(), octets.len()].contains(&cut);
            assert_eq!(Metadata::parse(&octets[..cut]).is_ok(), whole, "at {cut}");
        }
    }

    /// N04, BI-45.
    #[test]
    fn a_value_longer_than_the_rest_is_refused() {
        for length in [1_u32, 1 << 31, u32::MAX] {
            let mut octets = b"\x01X".to_vec();
            octets.extend_from_slice(&length.to_be_bytes());
            assert_refused(&octets, MetadataError::Truncated);
        }
    }

    /// N04, N06, BI-46.
    #[test]
    fn a_name_is_one_to_255_octets_of_its_charset() {
        assert_refused(&property(b"", b""), MetadataError::Name);
        for octet in (0..=255_u8).filter(|octet| !octet.is_ascii_alphanumeric()) {
            let parsed = Metadata::parse(&property(&[b'X', octet], b""));
            assert_eq!(parsed.is_ok(), b"-_.+".contains(&octet), "{octet:#04x}");
        }
        assert!(Metadata::parse(&property(&[b'a'; 255], b"")).is_ok());
        assert_refused(b"\x05Sock", MetadataError::Truncated);
    }

    /// N05, BI-47.
    #[test]
    fn a_name_that_comes_twice_is_refused_in_any_case() {
        let mut octets = property(b"X-Color", b"red");
        octets.extend(property(b"x-cOLOR", b"red"));
        assert_refused(&octets, MetadataError::Duplicate);
    }

    /// BI-47.
    #[test]
    fn sixty_four_properties_are_kept_and_one_more_is_refused() {
        let octets = |count: usize| -> Vec<u8> {
            let names = (0..count).map(|index| format!("X-{index}"));
            names
                .flat_map(|name| property(name.as_bytes(), b""))
                .collect()
        };
        assert_eq!(Metadata::parse(&octets(64)).unwrap().iter().count(), 64);
        assert_refused(&octets(65), MetadataError::TooMuch);
        assert_refused(&octets(1_000), MetadataError::TooMuch);
    }

    /// BI-47.
    #[test]
    fn eight_kibibytes_are_kept_and_one_octet_more_is_refused() {
        let octets = |size: usize| property(b"X", &vec![0; size - 6]);
        assert!(Metadata::parse(&octets(8_192)).is_ok());
        assert_refused(&octets(8_193), MetadataError::TooMuch);
    }
}
