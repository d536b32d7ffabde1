//! What a socket says of itself to its peers beyond its type and its identity.

use bytes::Bytes;

use super::Options;
use crate::error::OptionsError;

/// The most properties of the application; a handshake has two of its own.
const PROPERTIES: usize = 62;

/// The most octets of them on the wire: what a handshake may have, 8 KiB,
/// without room for the type and the longest identity.
const OCTETS: usize = 7_680;

/// Octets of a property beside its name and its value.
const OVERHEAD: usize = 5;

/// The error of this option.
const OUT_OF_RANGE: OptionsError = OptionsError::OutOfRange {
    option: "metadata",
    range: "names that begin with X-, 62 properties and 7,680 octets at most",
};

impl Options {
    /// A property that every peer is told in the handshake (`ZMQ_METADATA`),
    /// and finds in its [`PeerInfo`](crate::PeerInfo::property). May be called
    /// for many names; the last value of a name counts, whatever its case.
    ///
    /// A name begins with `X-` (37/ZMTP keeps all others for itself), has 3 to
    /// 255 letters, digits and `-_.+`; a socket is not made with another. There
    /// are at most 62, of 7,680 octets together, where each counts five more
    /// than its name and its value. Default none.
    ///
    /// ```
    /// use pushsub::{Options, Push};
    ///
    /// assert!(Push::with_options(Options::default().metadata("X-Zone", "eu-1")).is_ok());
    /// assert!(Push::with_options(Options::default().metadata("Zone", "eu-1")).is_err());
    /// ```
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.metadata
            .retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.metadata.push((name, value));
        self
    }

    /// N04, N06, N12, and that it fits what a peer takes before it knows us (BI-47).
    pub(super) fn check_metadata(&self) -> Result<(), OptionsError> {
        let octets = self
            .metadata
            .iter()
            .map(|(name, value)| OVERHEAD + name.len() + value.len());
        let sound = self
            .metadata
            .iter()
            .all(|(name, _)| is_application_name(name))
            && self.metadata.len() <= PROPERTIES
            && octets.sum::<usize>() <= OCTETS;
        if sound { Ok(()) } else { Err(OUT_OF_RANGE) }
    }
}

/// N12: whether an application may use the name.
fn is_application_name(name: &str) -> bool {
    let prefix = name.get(..2);
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("X-"))
        && (3..=255).contains(&name.len())
        && is_property_name(name.as_bytes())
}

/// N06: whether the octets are the name of a property: letters, digits and `-_.+`.
pub(crate) fn is_property_name(octets: &[u8]) -> bool {
    let allowed = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.+".contains(octet);
    !octets.is_empty() && octets.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use crate::options::Options;

    #[track_caller]
    fn is_sound(options: &Options) -> bool {
        options.check_metadata().is_ok()
    }

    fn with(name: &str) -> Options {
        Options::default().metadata(name, "value")
    }

    /// N04, N06, N12.
    #[test]
    fn a_name_begins_with_x_and_has_its_charset_and_length() {
        for name in ["X-a", "x-A", "X-+._9", &format!("X-{}", "a".repeat(253))] {
            assert!(is_sound(&with(name)), "{name}");
        }
        let long = format!("X-{}", "a".repeat(254));
        for name in ["", "X", "X-", "Zone", "Socket-Type", "X-a b", "X-ä", &long] {
            assert!(!is_sound(&with(name)), "{name}");
        }
    }

    /// N05: a second value of a name takes the place of the first.
    #[test]
    fn a_name_has_its_last_value_whatever_its_case() {
        let options = with("X-Color").metadata("x-cOLOR", "red");
        assert_eq!(options.metadata, [("x-cOLOR".to_owned(), "red".into())]);
    }

    /// BI-47.
    #[test]
    fn more_than_fits_a_handshake_is_refused() {
        let many = |count: usize| {
            let names = (0..count).map(|number| format!("X-{number}"));
            names.fold(Options::default(), |options, name| {
                options.metadata(name, "")
            })
        };
        assert!(is_sound(&many(62)));
        assert!(!is_sound(&many(63)));
        let large = |octets: usize| Options::default().metadata("X-a", vec![0; octets - 8]);
        assert!(is_sound(&large(7_680)));
        assert!(!is_sound(&large(7_681)));
    }
}
