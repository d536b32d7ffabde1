//! Whether a receiver looks again for the next part of a stream, or sleeps until it is there.

use tokio::runtime::{Handle, RuntimeFlavor};

/// A read of so many octets is a part of a stream, whose next part is as good as on its way.
const STREAM: usize = 16 << 10;

/// How often it is looked for, each time behind all that can run: to be woken up costs the sender
/// more than this costs the receiver.
const LOOKS: u8 = 16;

/// After looking in vain so many parts of the stream are slept for: they come slowly.
const BLIND: u8 = 15;

/// Looks again at a wire that has nothing, for a while, behind each part of a stream.
pub(super) struct Looks {
    /// How many there are behind a part.
    most: u8,
    left: u8,
    /// Parts behind which there are none.
    blind: u8,
}

impl Looks {
    /// For the runtime that this is called in. Where several workers take turns at waiting for the
    /// kernel it looks never: that would keep none of them awake.
    pub(super) fn new() -> Self {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        let alone = matches!(flavor, Ok(RuntimeFlavor::CurrentThread));
        Self::of(if alone { LOOKS } else { 0 })
    }

    fn of(most: u8) -> Self {
        Self {
            most,
            left: 0,
            blind: 0,
        }
    }

    /// So many octets were read at once.
    pub(super) fn note(&mut self, octets: usize) {
        if octets < STREAM {
            return;
        }
        self.left = if self.blind == 0 { self.most } else { 0 };
        self.blind = self.blind.saturating_sub(1);
    }

    /// Nothing was there. Returns whether to look again, and not to sleep.
    pub(super) fn again(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        if self.left == 0 {
            self.blind = BLIND;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{BLIND, LOOKS, Looks, STREAM};

    fn looks_behind(looks: &mut Looks, octets: usize) -> usize {
        looks.note(octets);
        (0..100).take_while(|_| looks.again()).count()
    }

    #[test]
    fn a_part_of_a_stream_is_followed_by_looks_and_then_by_sleep() {
        let mut looks = Looks::of(LOOKS);
        assert_eq!(looks_behind(&mut looks, STREAM), usize::from(LOOKS));
    }

    #[test]
    fn a_small_read_is_followed_by_sleep() {
        assert_eq!(looks_behind(&mut Looks::of(LOOKS), STREAM - 1), 0);
    }

    #[test]
    fn a_stream_that_was_looked_for_in_vain_is_slept_for_a_while() {
        let mut looks = Looks::of(LOOKS);
        looks_behind(&mut looks, STREAM);
        for _ in 0..BLIND {
            assert_eq!(looks_behind(&mut looks, STREAM), 0);
        }
        assert_eq!(looks_behind(&mut looks, STREAM), usize::from(LOOKS));
    }

    #[test]
    fn a_stream_that_is_met_by_looking_is_looked_for_on_and_on() {
        let mut looks = Looks::of(LOOKS);
        for _ in 0..100 {
            looks.note(STREAM);
            assert!(looks.again());
        }
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_looks() {
        assert!(looks_behind(&mut Looks::new(), STREAM) > 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_runtime_of_several_workers_sleeps() {
        assert_eq!(looks_behind(&mut Looks::new(), STREAM), 0);
    }
}
