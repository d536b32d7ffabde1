//! One frame on the wire: a flags octet, a length of one or eight octets, the body.

use crate::message::Message;

/// What stands before the body of a frame (37/ZMTP, Traffic).
///
/// | octet | meaning |
/// |---|---|
/// | flags, bit 0 | MORE: another frame of the same message follows |
/// | flags, bit 1 | LONG: the length has eight octets, else one |
/// | flags, bit 2 | COMMAND |
/// | flags, bits 7 to 3 | zero |
/// | 1 or 8 | the length of the body, in network order |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Another frame of the same message follows.
    pub(crate) more: bool,
    /// The body is a command, not a part of a message.
    pub(crate) command: bool,
    /// The octets of the body: at most 2^63 - 1.
    pub(crate) length: u64,
}

/// Flags bit: another frame of the same message follows.
pub(crate) const MORE: u8 = 0x01;
/// Flags bit: the length has eight octets. [`encode_header`] sets it by itself.
const LONG: u8 = 0x02;
/// Flags bit: the body is a command.
pub(crate) const COMMAND: u8 = 0x04;

/// The octets of the longest header.
pub(crate) const MAX_HEADER: usize = 9;

/// Why octets are no header of a frame. The peer's fault; the link cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// A bit that must be zero is set (37/ZMTP: bits 7-3 are reserved).
    #[error("the peer set the reserved flag bits {0:#04x} of a frame")]
    ReservedFlags(u8),
    /// A command claims that more frames follow.
    #[error("the peer set MORE on a command frame")]
    MoreOnCommand,
    /// The length has its highest bit set.
    #[error("the peer announced a frame longer than 2^63 - 1 octets")]
    Length,
}

impl Header {
    /// Reads the header at the start of `octets`. Returns it with the octets
    /// it occupies, or `None` where more are wanted.
    #[inline]
    pub(crate) fn parse(octets: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let [flags, rest @ ..] = octets else {
            return Ok(None);
        };
        let flags = *flags;
        if flags & !(MORE | LONG | COMMAND) != 0 {
            return Err(FrameError::ReservedFlags(flags & !(MORE | LONG | COMMAND)));
        }
        if flags & (MORE | COMMAND) == MORE | COMMAND {
            return Err(FrameError::MoreOnCommand);
        }
        let (length, size) = if flags & LONG == 0 {
            let Some(length) = rest.first() else {
                return Ok(None);
            };
            (u64::from(*length), 2)
        } else {
            let Some(length) = rest.first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*length), MAX_HEADER)
        };
        if length > i64::MAX as u64 {
            return Err(FrameError::Length);
        }
        let header = Self {
            more: flags & MORE != 0,
            command: flags & COMMAND != 0,
            length,
        };
        Ok(Some((header, size)))
    }

    /// The octets of a header that begins with these flags.
    pub(crate) fn size(flags: u8) -> usize {
        if flags & LONG == 0 { 2 } else { MAX_HEADER }
    }
}

/// The octets of a header with these flags (MORE, COMMAND), and how many of
/// the nine are its own. Bodies up to 255 octets get the short form (37/ZMTP).
#[inline]
pub(crate) fn encode_header(flags: u8, length: usize) -> ([u8; MAX_HEADER], usize) {
    let mut header = [0; MAX_HEADER];
    if let Ok(short) = u8::try_from(length) {
        header[0] = flags;
        header[1] = short;
        (header, 2)
    } else {
        header[0] = flags | LONG;
        header[1..].copy_from_slice(&(length as u64).to_be_bytes());
        (header, MAX_HEADER)
    }
}

/// Appends all frames of the message to `out`, headers and bodies.
#[inline]
pub(crate) fn encode_message(message: &Message, out: &mut Vec<u8>) {
    let frames = message.frames();
    if let [frame] = frames {
        return encode_frame(0, frame, out);
    }
    out.reserve(encoded_length(message));
    let last = frames.len() - 1;
    for (position, frame) in frames.iter().enumerate() {
        encode_frame(if position < last { MORE } else { 0 }, frame, out);
    }
}

/// Appends one frame to `out`.
#[inline(always)]
pub(crate) fn encode_frame(flags: u8, body: &[u8], out: &mut Vec<u8>) {
    // Room is made once, for header and body, and the short header is written
    // as a constant two octets: this is paid for each message that is sent.
    out.reserve(MAX_HEADER + body.len());
    if let Ok(short) = u8::try_from(body.len()) {
        out.extend_from_slice(&[flags, short]);
    } else {
        let (header, size) = encode_header(flags, body.len());
        out.extend_from_slice(&header[..size]);
    }
    out.extend_from_slice(body);
}

/// The octets that [`encode_message`] appends.
#[inline]
pub(crate) fn encoded_length(message: &Message) -> usize {
    let frame = |body: &bytes::Bytes| match body.len() {
        0..=255 => 2 + body.len(),
        long => MAX_HEADER + long,
    };
    match message.frames() {
        [only] => frame(only),
        frames => frames.iter().map(frame).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMAND, FrameError, Header, MORE, encode_header, encode_message, encoded_length};
    use crate::message::Message;

    fn header(more: bool, command: bool, length: u64) -> Header {
        Header {
            more,
            command,
            length,
        }
    }

    /// Z17, Z20.
    #[test]
    fn a_header_survives_its_own_encoding_on_both_sides_of_255() {
        for flags in [0, MORE, COMMAND] {
            for length in [0, 1, 255, 256, 65_536, usize::MAX >> 1] {
                let (octets, size) = encode_header(flags, length);
                assert_eq!(size, if length < 256 { 2 } else { 9 });
                let expected = header(flags == MORE, flags == COMMAND, length as u64);
                assert_eq!(Header::parse(&octets[..size]), Ok(Some((expected, size))));
                for cut in 0..size {
                    assert_eq!(Header::parse(&octets[..cut]), Ok(None), "cut at {cut}");
                }
            }
        }
    }

    /// Z20, BI-34.
    #[test]
    fn the_long_form_is_accepted_for_short_bodies() {
        let octets = [2, 0, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(
            Header::parse(&octets),
            Ok(Some((header(false, false, 5), 9)))
        );
    }

    /// Z18, BI-35, BI-12.
    #[test]
    fn each_reserved_flag_bit_is_refused_at_the_first_octet() {
        for bit in 3..8 {
            let reserved = 1 << bit;
            for flags in [reserved, reserved | MORE, 0xff] {
                let reserved = flags & 0xf8;
                assert_eq!(
                    Header::parse(&[flags]),
                    Err(FrameError::ReservedFlags(reserved))
                );
            }
        }
    }

    /// Z19, BI-36.
    #[test]
    fn a_command_cannot_have_more_frames() {
        assert_eq!(Header::parse(&[0x05]), Err(FrameError::MoreOnCommand));
        assert_eq!(Header::parse(&[0x07]), Err(FrameError::MoreOnCommand));
    }

    /// Z17, BI-31.
    #[test]
    fn a_length_over_63_bits_is_refused() {
        for (length, sound) in [
            (1_u64 << 62, true),
            ((1 << 63) - 1, true),
            (1 << 63, false),
            (u64::MAX, false),
        ] {
            let mut octets = vec![2];
            octets.extend_from_slice(&length.to_be_bytes());
            let parsed = Header::parse(&octets);
            if sound {
                assert_eq!(parsed, Ok(Some((header(false, false, length), 9))));
            } else {
                assert_eq!(parsed, Err(FrameError::Length));
            }
        }
    }

    #[test]
    fn an_encoded_message_has_the_octets_it_was_said_to_have() {
        let mut out = b"before".to_vec();
        let mut message = Message::from("a");
        message.push_back("");
        message.push_back(vec![7; 256]);
        encode_message(&message, &mut out);
        let mut expected = b"before\x01\x01a\x01\x00\x02\0\0\0\0\0\0\x01\x00".to_vec();
        expected.extend_from_slice(&[7; 256]);
        assert_eq!(out, expected);
        assert_eq!(out.len(), 6 + encoded_length(&message));
    }

    #[test]
    fn a_single_frame_gets_the_shortest_header() {
        for (size, expected) in [(0, 2), (64, 66), (255, 257), (256, 265)] {
            let message = Message::new(vec![9; size]);
            let mut out = Vec::new();
            encode_message(&message, &mut out);
            assert_eq!(out.len(), expected);
            assert_eq!(encoded_length(&message), expected);
        }
    }
}
