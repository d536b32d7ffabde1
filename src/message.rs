//! A message: one or more frames that travel together or not at all.

use bytes::Bytes;

/// One or more frames of bytes, sent and received as a whole.
///
/// A message always has at least one frame; a frame may be empty. Cloning
/// shares the frames' memory.
///
/// ```
/// use pushsub::Message;
///
/// let single = Message::from("hello");
/// assert_eq!(single.frames().len(), 1);
///
/// let multipart = Message::from(["topic", "payload"]);
/// assert_eq!(multipart.size(), 12);
/// assert_eq!(&multipart[1][..], b"payload");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Message {
    frames: Frames,
}

/// One frame needs no list of its own: that is what keeps a one-frame message
/// free of allocations.
#[derive(Clone)]
enum Frames {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl PartialEq for Frames {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Frames {}

impl std::hash::Hash for Frames {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl Frames {
    #[inline]
    fn as_slice(&self) -> &[Bytes] {
        match self {
            Self::One(frame) => std::slice::from_ref(frame),
            Self::Many(frames) => frames,
        }
    }
}

impl Message {
    /// A message of one frame.
    #[inline]
    pub fn new(frame: impl Into<Bytes>) -> Self {
        Self {
            frames: Frames::One(frame.into()),
        }
    }

    /// The message of these frames, or `None` where there is none.
    ///
    /// ```
    /// # use pushsub::Message;
    /// assert!(Message::from_frames(Vec::new()).is_none());
    /// ```
    #[must_use]
    pub fn from_frames(mut frames: Vec<Bytes>) -> Option<Self> {
        match frames.len() {
            0 => None,
            1 => frames.pop().map(Self::new),
            _ => Some(Self {
                frames: Frames::Many(frames),
            }),
        }
    }

    /// The frames in order; never empty.
    #[must_use]
    #[inline]
    pub fn frames(&self) -> &[Bytes] {
        self.frames.as_slice()
    }

    /// The first frame: the topic of a publication, the identity of what a ROUTER received.
    #[must_use]
    #[inline]
    pub fn first(&self) -> &Bytes {
        &self.frames()[0]
    }

    /// The octets of all frames together, without what the wire adds.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        match &self.frames {
            Frames::One(frame) => frame.len(),
            Frames::Many(frames) => frames.iter().map(Bytes::len).sum(),
        }
    }

    /// Appends a frame.
    pub fn push_back(&mut self, frame: impl Into<Bytes>) {
        self.many().push(frame.into());
    }

    /// Puts a frame before all others, as a ROUTER does with the identity of the sender.
    pub fn push_front(&mut self, frame: impl Into<Bytes>) {
        match &mut self.frames {
            Frames::One(only) => {
                self.frames = Frames::Many(vec![frame.into(), std::mem::take(only)]);
            }
            Frames::Many(frames) => frames.insert(0, frame.into()),
        }
    }

    /// Takes the first frame off. Returns it and the rest, which is `None`
    /// where the message had one frame.
    #[must_use]
    pub fn split_first(self) -> (Bytes, Option<Self>) {
        match self.frames {
            Frames::One(frame) => (frame, None),
            Frames::Many(mut frames) => {
                let first = frames.remove(0);
                (first, Self::from_frames(frames))
            }
        }
    }

    /// The frames, by value.
    #[must_use]
    pub fn into_frames(self) -> Vec<Bytes> {
        match self.frames {
            Frames::One(frame) => vec![frame],
            Frames::Many(frames) => frames,
        }
    }

    fn many(&mut self) -> &mut Vec<Bytes> {
        if let Frames::One(frame) = &mut self.frames {
            self.frames = Frames::Many(vec![std::mem::take(frame)]);
        }
        match &mut self.frames {
            Frames::Many(frames) => frames,
            Frames::One(_) => unreachable!("replaced by Many above"),
        }
    }
}

impl std::ops::Index<usize> for Message {
    type Output = Bytes;

    /// # Panics
    ///
    /// Where there is no such frame, as a slice does. `frames().get(index)` does not.
    fn index(&self, index: usize) -> &Bytes {
        &self.frames()[index]
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.frames()).finish()
    }
}

/// A message of these frames: `Message::from(["topic", "payload"])`.
///
/// An array of no frames does not compile.
impl<T: Into<Bytes>, const N: usize> From<[T; N]> for Message {
    fn from(frames: [T; N]) -> Self {
        const { assert!(N > 0, "a message has at least one frame") };
        let frames = frames.into_iter().map(Into::into).collect();
        Self::from_frames(frames).expect("there is at least one frame")
    }
}

macro_rules! message_from {
    ($($source:ty),*) => {$(
        impl From<$source> for Message {
            fn from(frame: $source) -> Self {
                Self::new(frame)
            }
        }
    )*};
}

message_from!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

impl<const N: usize> From<&'static [u8; N]> for Message {
    fn from(frame: &'static [u8; N]) -> Self {
        Self::new(&frame[..])
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn a_frame_pushed_to_the_front_comes_off_first() {
        let mut message = Message::from("body");
        message.push_front("identity");
        let (first, rest) = message.split_first();
        assert_eq!(first, "identity");
        assert_eq!(rest, Some(Message::from("body")));
    }

    #[test]
    fn the_rest_of_a_single_frame_is_nothing() {
        assert_eq!(Message::from("only").split_first().1, None);
    }

    #[test]
    fn a_message_is_no_larger_than_its_frame() {
        assert_eq!(size_of::<Message>(), size_of::<bytes::Bytes>());
    }
}
