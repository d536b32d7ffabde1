//! What the two engines say to each other between the messages of the application.

use bytes::Bytes;

use crate::message::Message;
use crate::zmtp::frame::{COMMAND, encode_frame};
use crate::zmtp::metadata::{Metadata, MetadataError};

/// A command: a name of letters behind its length, then data (37/ZMTP, Commands).
///
/// | name | data |
/// |---|---|
/// | READY | properties |
/// | ERROR | reason, behind a length of one octet |
/// | PING | ttl in tenths of a second, two octets; context, 0 to 16 octets |
/// | PONG | the context of the PING |
/// | SUBSCRIBE, CANCEL | the topic |
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Ends the NULL handshake.
    Ready(Metadata),
    /// The peer gives up, and says why: printable text of at most 255 octets. Fatal.
    Error(String),
    /// Asks for a PONG with the same context.
    Ping {
        /// Tenths of a second after which the sender of the PING may be taken
        /// for dead where nothing more is heard of it; 0 says nothing.
        ttl_deciseconds: u16,
        /// At most 16 octets.
        context: Bytes,
    },
    /// Answers a PING.
    Pong {
        /// At most 16 octets.
        context: Bytes,
    },
    /// The peer wants what begins with this topic.
    Subscribe(Bytes),
    /// The peer wants it once less.
    Cancel(Bytes),
    /// A command of a later version or of another pattern, to be ignored.
    Unknown,
}

/// The most octets of a context (37/ZMTP, Heartbeating).
const MAX_CONTEXT: usize = 16;

/// Why the body of a command frame is no command. The peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// The name is missing, cut off or not of letters. After the handshake
    /// the command may be ignored: where the frame ends is not in doubt.
    #[error("the peer sent a command without a proper name")]
    Name,
    /// The properties of a READY are malformed.
    #[error("the peer's READY is malformed: {0}")]
    Ready(#[from] MetadataError),
    /// The reason of an ERROR is longer than the command.
    #[error("the peer's ERROR is cut off")]
    Error,
    /// A PING without its time to live.
    #[error("the peer sent a PING shorter than seven octets")]
    ShortPing,
    /// A context of more than 16 octets.
    #[error("the peer sent a PING with a context over 16 octets")]
    LongContext,
}

impl Command {
    /// Reads the body of a command frame. Topics and contexts share its memory.
    pub(crate) fn parse(body: &Bytes) -> Result<Self, CommandError> {
        let (name, data) = split_name(body).ok_or(CommandError::Name)?;
        let data = body.slice_ref(data);
        match name {
            b"READY" => Ok(Self::Ready(Metadata::parse(&data)?)),
            b"ERROR" => parse_reason(&data).map(Self::Error),
            b"PING" => {
                let ttl = data.first_chunk().ok_or(CommandError::ShortPing)?;
                Ok(Self::Ping {
                    ttl_deciseconds: u16::from_be_bytes(*ttl),
                    context: parse_context(data.slice(2..))?,
                })
            }
            // Nobody asked for one with a long context, and none does harm (BI-53).
            b"PONG" => {
                Ok(parse_context(data).map_or(Self::Unknown, |context| Self::Pong { context }))
            }
            b"SUBSCRIBE" => Ok(Self::Subscribe(data)),
            b"CANCEL" => Ok(Self::Cancel(data)),
            _ => Ok(Self::Unknown),
        }
    }

    /// What a message says that a peer of ZMTP 3.0 sends in place of the
    /// commands: 0x01 and the topic, 0x00 and the topic (23/ZMTP, The
    /// Publish-Subscribe Pattern). `None` where it is an ordinary message.
    pub(crate) fn from_message(message: &Message) -> Option<Self> {
        let [frame] = message.frames() else {
            return None;
        };
        match frame.first()? {
            1 => Some(Self::Subscribe(frame.slice(1..))),
            0 => Some(Self::Cancel(frame.slice(1..))),
            _ => None,
        }
    }

    /// Appends the whole command frame to `out`; nothing for [`Unknown`](Self::Unknown).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        match self {
            Self::Ready(metadata) => {
                body.extend_from_slice(b"\x05READY");
                metadata.encode(&mut body);
            }
            Self::Error(reason) => {
                let reason = &reason.as_bytes()[..reason.floor_char_boundary(255)];
                body.extend_from_slice(b"\x05ERROR");
                body.push(reason.len() as u8);
                body.extend_from_slice(reason);
            }
            Self::Ping {
                ttl_deciseconds,
                context,
            } => {
                body.extend_from_slice(b"\x04PING");
                body.extend_from_slice(&ttl_deciseconds.to_be_bytes());
                body.extend_from_slice(context);
            }
            Self::Pong { context } => {
                body.extend_from_slice(b"\x04PONG");
                body.extend_from_slice(context);
            }
            Self::Subscribe(topic) => {
                body.extend_from_slice(b"\x09SUBSCRIBE");
                body.extend_from_slice(topic);
            }
            Self::Cancel(topic) => {
                body.extend_from_slice(b"\x06CANCEL");
                body.extend_from_slice(topic);
            }
            Self::Unknown => return,
        }
        encode_frame(COMMAND, &body, out);
    }
}

/// Appends a subscription (or a cancel) in the words of the peer's version:
/// a command for 3.1 and later, a message for 3.0.
pub(crate) fn encode_subscription(
    peer_version: (u8, u8),
    subscribe: bool,
    topic: &Bytes,
    out: &mut Vec<u8>,
) {
    if peer_version >= (3, 1) {
        let command = if subscribe {
            Command::Subscribe(topic.clone())
        } else {
            Command::Cancel(topic.clone())
        };
        command.encode(out);
    } else {
        let mut body = Vec::with_capacity(1 + topic.len());
        body.push(u8::from(subscribe));
        body.extend_from_slice(topic);
        encode_frame(0, &body, out);
    }
}

fn split_name(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first()?;
    let (name, data) = rest.split_at_checked(usize::from(*length))?;
    let sound = !name.is_empty() && name.iter().all(u8::is_ascii_alphabetic);
    sound.then_some((name, data))
}

fn parse_context(context: Bytes) -> Result<Bytes, CommandError> {
    if context.len() > MAX_CONTEXT {
        return Err(CommandError::LongContext);
    }
    Ok(context)
}

/// The reason, with what cannot be printed replaced: it ends up in logs.
fn parse_reason(data: &[u8]) -> Result<String, CommandError> {
    let (length, rest) = data.split_first().ok_or(CommandError::Error)?;
    let reason = rest
        .get(..usize::from(*length))
        .ok_or(CommandError::Error)?;
    let printable = |octet: &u8| match octet {
        b' '..=b'~' => char::from(*octet),
        _ => '?',
    };
    Ok(reason.iter().map(printable).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Command, CommandError, encode_subscription};
    use crate::message::Message;
    use crate::zmtp::frame::Header;
    use crate::zmtp::metadata::{Metadata, MetadataError};

    fn parse(body: &'static [u8]) -> Result<Command, CommandError> {
        Command::parse(&Bytes::from_static(body))
    }

    fn encoded(command: &Command) -> Vec<u8> {
        let mut out = Vec::new();
        command.encode(&mut out);
        out
    }

    /// Z20, Z21, H01, H02, PF02.
    #[test]
    fn commands_survive_their_own_encoding() {
        let mut metadata = Metadata::default();
        metadata.insert("Socket-Type", Bytes::from("DEALER"));
        for command in [
            Command::Ready(Metadata::default()),
            Command::Ready(metadata),
            Command::Error(String::new()),
            Command::Error("no such thing".into()),
            Command::Ping {
                ttl_deciseconds: 6_553,
                context: Bytes::from("sixteen octets.."),
            },
            Command::Pong {
                context: Bytes::new(),
            },
            Command::Subscribe(Bytes::new()),
            Command::Subscribe(Bytes::from(vec![1; 245])),
            Command::Subscribe(Bytes::from(vec![1; 246])),
            Command::Cancel(Bytes::from("topic")),
        ] {
            let octets = encoded(&command);
            let (header, size) = Header::parse(&octets).unwrap().unwrap();
            assert!(header.command && !header.more);
            assert_eq!(size + header.length as usize, octets.len());
            // Z20: the short form up to 255.
            assert_eq!(size == 2, header.length < 256);
            let body = Bytes::copy_from_slice(&octets[size..]);
            assert_eq!(Command::parse(&body), Ok(command));
        }
    }

    /// Z21, BI-43.
    #[test]
    fn a_name_is_one_to_255_letters_within_the_body() {
        for body in [
            &b""[..],
            b"\0",
            b"\0PING",
            b"\x05PING",
            b"\x04PI G",
            b"\x03A-B",
        ] {
            let body: &'static [u8] = body;
            assert_eq!(parse(body), Err(CommandError::Name), "{body:?}");
        }
    }

    /// H07, BI-48.
    #[test]
    fn what_is_not_known_is_unknown_at_every_length_of_its_name() {
        for length in 1..=255_u8 {
            let mut body = vec![length];
            body.resize(1 + usize::from(length), b'x');
            body.extend_from_slice(b"\0data");
            assert_eq!(Command::parse(&body.into()), Ok(Command::Unknown));
        }
        assert_eq!(parse(b"\x04JOINgroup"), Ok(Command::Unknown));
        assert_eq!(parse(b"\x04ping\0\0"), Ok(Command::Unknown));
        assert!(encoded(&Command::Unknown).is_empty());
    }

    /// BI-49, BI-50, BI-51.
    #[test]
    fn a_ping_has_its_ttl_and_a_context_of_at_most_16_octets() {
        assert_eq!(parse(b"\x04PING"), Err(CommandError::ShortPing));
        assert_eq!(parse(b"\x04PING\0"), Err(CommandError::ShortPing));
        for ttl in [0, 1, 655, 656, 6_553, 65_535] {
            for (length, sound) in [(0, true), (16, true), (17, false), (255, false)] {
                let command = Command::Ping {
                    ttl_deciseconds: ttl,
                    context: Bytes::from(vec![7; length]),
                };
                let octets = encoded(&command);
                let size = if octets[0] == 4 { 2 } else { 9 };
                let expected = sound.then_some(command).ok_or(CommandError::LongContext);
                assert_eq!(Command::parse(&octets[size..].to_vec().into()), expected);
            }
        }
        // BI-53: an answer that nobody asked for is passed over.
        assert_eq!(parse(b"\x04PONG12345678901234567"), Ok(Command::Unknown));
    }

    /// C20: what is not printable does not reach a log.
    #[test]
    fn a_reason_is_printable_and_within_its_command() {
        assert_eq!(
            parse(b"\x05ERROR\x04no\n\xff"),
            Ok(Command::Error("no??".into()))
        );
        assert_eq!(parse(b"\x05ERROR\0rest"), Ok(Command::Error(String::new())));
        assert_eq!(parse(b"\x05ERROR"), Err(CommandError::Error));
        assert_eq!(parse(b"\x05ERROR\x05four"), Err(CommandError::Error));
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_characters() {
        let octets = encoded(&Command::Error("ä".repeat(200)));
        assert_eq!(octets[9 + 6], 254);
    }

    /// BI-44, BI-45.
    #[test]
    fn a_ready_with_malformed_properties_is_refused() {
        assert_eq!(
            parse(b"\x05READY\x0bSocket"),
            Err(CommandError::Ready(MetadataError::Truncated))
        );
    }

    /// Z06, PF02, PF03. The first four are octets of libzmq 4.3.5, taken on a raw Python
    /// socket that greeted a SUB of pyzmq 27.3.0 with either version.
    #[test]
    fn a_subscription_is_a_command_for_3_1_and_a_message_for_3_0() {
        let topic = Bytes::from("news");
        for (version, subscribe, expected) in [
            ((3, 1), true, &b"\x04\x0e\x09SUBSCRIBEnews"[..]),
            ((3, 1), false, b"\x04\x0b\x06CANCELnews"),
            ((3, 0), true, b"\0\x05\x01news"),
            ((3, 0), false, b"\0\x05\0news"),
            ((4, 0), true, b"\x04\x0e\x09SUBSCRIBEnews"),
        ] {
            let mut out = Vec::new();
            encode_subscription(version, subscribe, &topic, &mut out);
            assert_eq!(out, expected);
        }
    }

    /// PF03, BI-64.
    #[test]
    fn the_message_form_of_a_subscription_is_understood() {
        let topic = Bytes::from("ab");
        let mut multipart = Message::from("\x01ab");
        multipart.push_back("more");
        for (message, expected) in [
            (
                Message::from("\x01ab"),
                Some(Command::Subscribe(topic.clone())),
            ),
            (Message::from("\0ab"), Some(Command::Cancel(topic))),
            (
                Message::from("\x01"),
                Some(Command::Subscribe(Bytes::new())),
            ),
            (Message::from("\x02ab"), None),
            (Message::from(""), None),
            (multipart, None),
        ] {
            assert_eq!(Command::from_message(&message), expected);
        }
    }
}
