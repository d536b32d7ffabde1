//! The first 64 octets of each side: signature, version, mechanism.

/// The version that we speak.
pub(crate) const VERSION: (u8, u8) = (3, 1);

/// The octets of a greeting.
pub(crate) const LENGTH: usize = 64;

/// Our greeting (37/ZMTP, Greeting). It is sent whole at once: a peer that
/// waits for the first ten or eleven octets of it before it goes on gets them.
///
/// | octets | hold |
/// |---|---|
/// | 0 to 9 | signature: 0xff, eight of padding, 0x7f |
/// | 10, 11 | version: major, minor |
/// | 12 to 31 | mechanism, padded with zeros |
/// | 32 | as-server: 0, NULL has no roles |
/// | 33 to 63 | filler |
pub(crate) const OURS: [u8; LENGTH] = {
    let mut octets = [0; LENGTH];
    octets[0] = 0xff;
    octets[9] = 0x7f;
    octets[10] = VERSION.0;
    octets[11] = VERSION.1;
    let mut position = 0;
    while position < MECHANISM.len() {
        octets[12 + position] = MECHANISM[position];
        position += 1;
    }
    octets
};

/// The mechanism field of a greeting: all twenty octets are compared, as libzmq does.
const MECHANISM: [u8; 20] = *b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What a peer's greeting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Major, which is 3 or higher, and minor.
    pub(crate) version: (u8, u8),
}

/// Why octets are no greeting that we can answer. The link is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GreetingError {
    /// No signature of ZMTP 2.0 or later: another protocol, or ZMTP 1.0.
    #[error("the peer does not speak ZMTP 3: its first octets are no greeting")]
    Signature,
    /// The peer speaks ZMTP of this major version, which is before 3.
    #[error("the peer speaks ZMTP {0}, and 3.0 is the oldest that is spoken here")]
    UnsupportedVersion(u8),
    /// The peer wants another mechanism than NULL (37/ZMTP: then one shall close).
    #[error("the peer wants another security mechanism than NULL")]
    Mechanism,
}

impl Greeting {
    /// Reads the greeting at the start of `octets`; `None` where more of the
    /// 64 are wanted. What is wrong is told as soon as the octet is there.
    pub(crate) fn parse(octets: &[u8]) -> Result<Option<Self>, GreetingError> {
        // 37/ZMTP: the padding, octets 1 to 8, shall not be interpreted. An
        // even octet 9 is a length in the framing of ZMTP 1.0.
        let signed = octets.first().is_none_or(|first| *first == 0xff)
            && octets.get(9).is_none_or(|last| last & 1 == 1);
        if !signed {
            return Err(GreetingError::Signature);
        }
        if let Some(major) = octets.get(10)
            && *major < VERSION.0
        {
            return Err(GreetingError::UnsupportedVersion(*major));
        }
        let mechanism = octets.get(12..).unwrap_or_default();
        if mechanism
            .iter()
            .zip(MECHANISM)
            .any(|(theirs, ours)| *theirs != ours)
        {
            return Err(GreetingError::Mechanism);
        }
        if octets.len() < LENGTH {
            return Ok(None);
        }
        // As-server means nothing without roles, and filler means nothing.
        Ok(Some(Self {
            version: (octets[10], octets[11]),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{Greeting, GreetingError, LENGTH, OURS};

    /// Checks that the fault is told when octet `position` is there, not before.
    #[track_caller]
    fn assert_refused_at(octets: &[u8], position: usize, error: GreetingError) {
        for cut in 0..=position {
            assert_eq!(Greeting::parse(&octets[..cut]), Ok(None), "cut at {cut}");
        }
        for cut in position + 1..=octets.len() {
            assert_eq!(Greeting::parse(&octets[..cut]), Err(error), "cut at {cut}");
        }
    }

    fn ours_with(position: usize, octet: u8) -> [u8; LENGTH] {
        let mut octets = OURS;
        octets[position] = octet;
        octets
    }

    /// Z02, Z04, Z10, Z11: what goes out, octet by octet.
    #[test]
    fn our_greeting_is_that_of_the_rfc() {
        let mut expected = b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL".to_vec();
        expected.resize(64, 0);
        assert_eq!(OURS.as_slice(), expected);
    }

    /// BI-02.
    #[test]
    fn a_greeting_is_awaited_to_its_last_octet() {
        for cut in 0..LENGTH {
            assert_eq!(Greeting::parse(&OURS[..cut]), Ok(None));
        }
        let version = (3, 1);
        assert_eq!(Greeting::parse(&OURS), Ok(Some(Greeting { version })));
    }

    /// BI-03, BI-04, BI-06: HTTP, TLS, ZMTP 1.0.
    #[test]
    fn another_protocol_is_refused_at_its_first_octet() {
        for octets in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\x00",
            b"\x01\x00\x08\x00sneaky\0",
        ] {
            assert_refused_at(octets, 0, GreetingError::Signature);
        }
    }

    /// Z32, BI-11: an even tenth octet is a ZMTP 1.0 length.
    #[test]
    fn an_even_end_of_the_signature_is_refused() {
        assert_refused_at(&ours_with(9, 0x7e), 9, GreetingError::Signature);
    }

    /// Z03, BI-11.
    #[test]
    fn padding_means_nothing() {
        for position in 1..9 {
            assert!(matches!(
                Greeting::parse(&ours_with(position, 0xa5)),
                Ok(Some(_))
            ));
        }
    }

    /// Z07, Z28, BI-07, BI-08.
    #[test]
    fn versions_before_3_are_refused_at_the_major() {
        for major in 0..3 {
            let error = GreetingError::UnsupportedVersion(major);
            assert_refused_at(&ours_with(10, major), 10, error);
        }
    }

    /// Z05, Z06, BI-09.
    #[test]
    fn versions_from_3_0_on_are_accepted() {
        for version in [(3, 0), (3, 1), (3, 2), (4, 0), (255, 255)] {
            let mut octets = ours_with(10, version.0);
            octets[11] = version.1;
            assert_eq!(Greeting::parse(&octets), Ok(Some(Greeting { version })));
        }
    }

    /// Z09, Z10, BI-13, BI-71.
    #[test]
    fn any_other_mechanism_is_refused_at_its_first_other_octet() {
        for (mechanism, position) in [
            (&b"CURVE"[..], 12),
            (b"PLAIN", 12),
            (b"XYZZY", 12),
            (b"null", 12),
            (b"\xce\xbb", 12),
            (b"\0", 12),
            (b"NULLS", 16),
            (b"NULL\0junk", 17),
            (b"NULL                ", 16),
        ] {
            let mut octets = OURS;
            octets[12..32].fill(0);
            octets[12..12 + mechanism.len()].copy_from_slice(mechanism);
            assert_refused_at(&octets, position, GreetingError::Mechanism);
        }
    }

    /// Z11, BI-14, BI-15.
    #[test]
    fn as_server_and_filler_mean_nothing() {
        for position in 32..LENGTH {
            assert!(matches!(
                Greeting::parse(&ours_with(position, 1)),
                Ok(Some(_))
            ));
        }
    }
}
