//! What an XPUB shows of subscriptions: of a peer that changes its mind unseen, the first word and the last.
//!
//! ```text
//!  waiting       comes       waiting then
//!  +a            -a          +a -a          the first and the last
//!  +a -a         +a          +a             the two that say nothing together are taken out
//!  +a -a         -b          +a -a -b
//! ```

use super::pattern::subscription_message;
use super::state::State;
use crate::message::Message;

/// How far behind the last that waits is looked for what a new one takes back: a peer
/// that changes its mind about more topics than half of this has their places filled up
/// to the high-water mark.
const WINDOW: usize = 256;

/// Who has told the application something last, and how often without another between:
/// what two peers say of one topic keeps its order.
#[derive(Debug, Default)]
pub(super) struct Speaker {
    serial: Option<u64>,
    words: usize,
}

impl Speaker {
    /// The pipe of this number has said one thing more.
    pub(super) fn speaks(&mut self, serial: u64) {
        if self.serial != Some(serial) {
            self.serial = Some(serial);
            self.words = 0;
        }
        self.words += 1;
    }

    /// What it has said since another spoke.
    fn words_of(&self, serial: u64) -> usize {
        if self.serial == Some(serial) {
            self.words
        } else {
            0
        }
    }
}

impl State {
    /// Tells the application that a topic has its first subscriber or has lost the last,
    /// or takes back that it was to be told the opposite (BI-61).
    pub(super) fn tell_change(&mut self, index: usize, subscribes: bool, topic: &[u8]) {
        let words = subscription_message(subscribes, topic);
        let pipe = &mut self.pipes[index];
        let window = self.speaker.words_of(pipe.serial).min(WINDOW);
        let Some(place) = opposite(pipe.incoming.newest(window), &words) else {
            return self.say(index, words);
        };
        let place = pipe.incoming.len() - 1 - place;
        pipe.take_back(place);
        // The one that is taken out, and the one that does not come.
        pipe.received.received += 1;
        pipe.own_words += 1;
        pipe.received.dropped += 2;
        self.speaker.words -= 1;
    }
}

/// Where the opposite of these words waits, counted from the newest, if it is the last
/// about its topic and another stands before it.
fn opposite<'a>(waiting: impl Iterator<Item = &'a Message>, words: &Message) -> Option<usize> {
    let (first, topic) = words.first().split_first()?;
    let mut about_it = waiting.enumerate().filter_map(|(place, message)| {
        let [frame] = message.frames() else {
            return None;
        };
        let (said, about) = frame.split_first()?;
        (about == topic).then_some((place, said))
    });
    let (place, said) = about_it.next()?;
    (said != first && about_it.next().is_some()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::opposite;
    use crate::message::Message;
    use crate::socket::pattern::subscription_message;

    /// Where the newest of these is that a new one takes back.
    fn place(waiting: &[(bool, &str)], new: (bool, &str)) -> Option<usize> {
        let message =
            |(subscribes, topic): (bool, &str)| subscription_message(subscribes, topic.as_bytes());
        let waiting: Vec<Message> = waiting.iter().copied().map(message).collect();
        opposite(waiting.iter().rev(), &message(new))
    }

    /// BI-61.
    #[test]
    fn the_first_word_and_the_last_stay() {
        let (wants, cancels) = ((true, "a"), (false, "a"));
        assert_eq!(place(&[], wants), None);
        assert_eq!(place(&[wants], cancels), None, "it is the first");
        assert_eq!(place(&[wants, cancels], wants), Some(0));
        assert_eq!(place(&[cancels, wants], cancels), Some(0));
        assert_eq!(place(&[wants, cancels, (true, "b")], wants), Some(1));
        assert_eq!(place(&[wants, cancels], (false, "b")), None);
        // Another peer has said the opposite between the two.
        assert_eq!(place(&[wants, wants], wants), None);
    }
}
