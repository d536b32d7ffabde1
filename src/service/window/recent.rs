//! Which of a client's latest requests were answered: pure, and of a fixed size.

/// Words of 64 counters each: what is older than the newest by as much is not remembered.
const WORDS: usize = 64;

/// A set of counters that remembers the newest 4,096 or so.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// A ring by the counter's word; empty until something is inserted.
    words: Vec<u64>,
    /// The newest word.
    newest: u64,
}

impl Recent {
    pub(super) fn insert(&mut self, counter: u64) {
        let word = counter / 64;
        if self.words.is_empty() {
            self.words = vec![0; WORDS];
            self.newest = word;
        }
        if word > self.newest {
            let passed = (word - self.newest).min(WORDS as u64);
            (0..passed).for_each(|back| self.words[place(word - back)] = 0);
            self.newest = word;
        }
        if self.remembers(word) {
            self.words[place(word)] |= 1 << (counter % 64);
        }
    }

    pub(super) fn contains(&self, counter: u64) -> bool {
        let word = counter / 64;
        self.remembers(word) && self.words[place(word)] & 1 << (counter % 64) != 0
    }

    fn remembers(&self, word: u64) -> bool {
        let age = self.newest.checked_sub(word);
        !self.words.is_empty() && age.is_some_and(|age| age < WORDS as u64)
    }
}

fn place(word: u64) -> usize {
    (word % WORDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn it_remembers_the_newest_and_forgets_the_old() {
        let mut recent = Recent::default();
        assert!(!recent.contains(0));
        for counter in (0..20_000).step_by(3) {
            recent.insert(counter);
            assert!(recent.contains(counter));
            assert!(!recent.contains(counter + 1));
            let old = counter.saturating_sub(3_900);
            assert_eq!(recent.contains(old), old.is_multiple_of(3));
        }
        assert!(!recent.contains(15_000));
        recent.insert(15_000);
        assert!(!recent.contains(15_000));
    }

    #[test]
    fn a_leap_forgets_everything_before() {
        let mut recent = Recent::default();
        recent.insert(7);
        recent.insert(u64::MAX);
        assert!(recent.contains(u64::MAX));
        assert!(!recent.contains(7) && !recent.contains(u64::MAX - 4_096));
    }
}
