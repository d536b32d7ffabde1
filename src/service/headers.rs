//! The headers of a request or an answer: a MessagePack map of strings to strings.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The most octets that encoded headers have.
pub(crate) const LIMIT: usize = 8_192;

/// Names and values that travel beside a payload, such as `traceparent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    entries: BTreeMap<String, String>,
}

/// The octets are no map of strings to strings, or more than 8,192. The fault
/// of who sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("headers are a MessagePack map of strings to strings of at most 8,192 octets")]
pub(crate) struct HeadersError;

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }

    /// Sets the value of a name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.entries.insert(name.into(), value.into());
    }

    /// The names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frame: nothing where there are no headers.
    pub(crate) fn encode(&self) -> Result<Bytes, HeadersError> {
        if self.entries.is_empty() {
            return Ok(Bytes::new());
        }
        let octets = rmp_serde::to_vec(&self.entries).map_err(|_| HeadersError)?;
        if octets.len() > LIMIT {
            return Err(HeadersError);
        }
        Ok(octets.into())
    }

    /// Reads a frame.
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, HeadersError> {
        if frame.is_empty() {
            return Ok(Self::new());
        }
        if frame.len() > LIMIT {
            return Err(HeadersError);
        }
        let entries = rmp_serde::from_slice(frame).map_err(|_| HeadersError)?;
        Ok(Self { entries })
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let entries = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::{Headers, HeadersError, LIMIT};

    #[test]
    fn headers_survive_their_frame() {
        let headers: Headers = [("traceparent", "00-ab")].into_iter().collect();
        let frame = headers.encode().expect("small");
        assert_eq!(&frame[..], b"\x81\xabtraceparent\xa500-ab");
        assert_eq!(Headers::decode(&frame), Ok(headers));
    }

    #[test]
    fn no_headers_are_no_octets() {
        assert!(Headers::new().encode().expect("small").is_empty());
        assert_eq!(Headers::decode(b""), Ok(Headers::new()));
    }

    /// BI-90: a map that announces four thousand million entries is refused for what it holds.
    #[test]
    fn what_is_no_map_of_strings_is_refused() {
        for frame in [
            &b"\xc0"[..],
            b"\x81\xa1a\x01",
            b"\x81\xa1a",
            b"\xdf\xff\xff\xff\xff",
            b"\x91\xa1a",
        ] {
            assert_eq!(Headers::decode(frame), Err(HeadersError), "{frame:?}");
        }
    }

    #[test]
    fn too_many_octets_are_refused_both_ways() {
        let headers: Headers = [("a", "b".repeat(LIMIT))].into_iter().collect();
        assert_eq!(headers.encode(), Err(HeadersError));
        assert_eq!(Headers::decode(&[0x80; LIMIT + 1]), Err(HeadersError));
    }
}
