//! The frames before a request and its reply: who is on the way, and an empty one at the end.
//!
//! ```text
//!  REQ sends      [id] ""  body …            the id only where requests are correlated
//!  REP receives   hop … "" body …            kept, and put before the reply
//! ```

use bytes::Bytes;

use crate::message::Message;

/// The hops that a request may have behind it, and their octets together; one
/// with more is dropped (BI-68).
const HOPS: usize = 16;
const HOP_OCTETS: usize = 64 << 10;

/// A request as a REQ sends it.
pub(crate) fn wrap(id: Option<u32>, message: &Message) -> Message {
    let id = id.map(|id| Bytes::copy_from_slice(&id.to_be_bytes()));
    let envelope = id.into_iter().chain([Bytes::new()]);
    let frames = envelope.chain(message.frames().iter().cloned()).collect();
    Message::from_frames(frames).expect("the delimiter is a frame")
}

/// The reply behind its delimiter, and the id before it where there is to be
/// one; `None` where it is no reply.
pub(crate) fn unwrap(message: Message, correlated: bool) -> Option<(Option<u32>, Message)> {
    let (id, message) = if correlated {
        let (id, rest) = message.split_first();
        let id = <[u8; 4]>::try_from(&id[..]).ok()?;
        (Some(u32::from_be_bytes(id)), rest?)
    } else {
        (None, message)
    };
    let (delimiter, body) = message.split_first();
    body.filter(|_| delimiter.is_empty()).map(|body| (id, body))
}

/// Frames up to the delimiter and with it; `None` where there is none within the limits.
pub(crate) fn length(message: &Message) -> Option<usize> {
    let mut frames = message.frames().iter().take(HOPS + 1);
    let hops = frames.position(Bytes::is_empty)?;
    let octets: usize = message.frames()[..hops].iter().map(Bytes::len).sum();
    (octets <= HOP_OCTETS).then_some(hops + 1)
}

/// Takes a message apart behind its delimiter. A request of nothing but a
/// delimiter is an empty one.
pub(crate) fn split(message: Message) -> (Vec<Bytes>, Message) {
    let mut frames = message.into_frames();
    let delimiter = frames.iter().position(Bytes::is_empty);
    let body = frames.split_off(delimiter.map_or(0, |position| position + 1));
    let body = Message::from_frames(body).unwrap_or_else(|| Message::new(Bytes::new()));
    (frames, body)
}

/// The envelope with a reply in it.
pub(crate) fn join(mut envelope: Vec<Bytes>, reply: &Message) -> Message {
    envelope.extend_from_slice(reply.frames());
    Message::from_frames(envelope).expect("a message has a frame")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{HOP_OCTETS, HOPS, join, length, split, unwrap, wrap};
    use crate::message::Message;

    fn message(frames: &[&'static str]) -> Message {
        let frames = frames.iter().map(|frame| Bytes::from(*frame)).collect();
        Message::from_frames(frames).unwrap()
    }

    /// RQ02.
    #[test]
    fn what_was_wrapped_comes_out_again() {
        let body = message(&["a", "", "b"]);
        for id in [None, Some(7)] {
            let wrapped = wrap(id, &body);
            assert_eq!(unwrap(wrapped, id.is_some()), Some((id, body.clone())));
        }
    }

    /// RQ08, BI-69.
    #[test]
    fn a_reply_without_delimiter_is_none() {
        assert_eq!(unwrap(message(&["body"]), false), None);
        assert_eq!(unwrap(message(&["",]), false), None);
        assert_eq!(unwrap(message(&["long id", "", "body"]), true), None);
        assert_eq!(unwrap(message(&["1234", "body"]), true), None);
        assert_eq!(unwrap(message(&["1234"]), true), None);
    }

    /// RP03, RP04.
    #[test]
    fn a_reply_goes_where_the_request_came_from() {
        let (envelope, body) = split(message(&["a", "b", "", "question", ""]));
        assert_eq!(body, message(&["question", ""]));
        let reply = join(envelope, &Message::from("answer"));
        assert_eq!(reply, message(&["a", "b", "", "answer"]));
    }

    /// RP09, BI-68.
    #[test]
    fn an_envelope_without_end_or_beyond_its_limits_is_none() {
        assert_eq!(length(&message(&["no", "delimiter"])), None);
        assert_eq!(length(&message(&[""])), Some(1));
        assert_eq!(length(&message(&["a", "", "body"])), Some(2));
        let hops = |count: usize| {
            let mut frames = vec!["hop"; count];
            frames.extend(["", "body"]);
            message(&frames)
        };
        assert_eq!(length(&hops(HOPS)), Some(HOPS + 1));
        assert_eq!(length(&hops(HOPS + 1)), None);
        let mut large = message(&["", "body"]);
        large.push_front(vec![1; HOP_OCTETS + 1]);
        assert_eq!(length(&large), None);
    }
}
