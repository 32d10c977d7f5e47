//! How often a node begins to gossip, by what it costs.
//!
//! chitchat begins with three nodes in every round, and each exchange names every node of the cell
//! twice: what a round costs grows with the cell, and what a cell costs with its square. A [`Pace`]
//! lets begin as many exchanges as fit into an allowance of bytes: in a small cell all of them, in
//! one of a hundred nodes about one in a second. Answers are never held back, so of two nodes it
//! is enough that one begins.
//!
//! What a node has to say itself does not wait for that: after [`Pace::news`] it begins as often
//! as chitchat would, for some rounds. Only its own news count. If those of others did, each
//! change would make a whole cell talk at once; and the hearts of all would be heard to beat so
//! fast for a moment that the silence after it looked like death to chitchat's failure detector.

use std::time::Duration;

use super::time::Time;

/// How much gossip a node begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Between two rounds of chitchat's.
    pub round: Duration,
    /// What the greetings of a node may come to in the long run, in bytes per second. Each costs
    /// about as much again in answers.
    pub bytes_per_second: u32,
    /// For how many rounds a node that has news begins without regard to that.
    pub eager_rounds: u32,
    /// And how many rounds it then rests before it does so again.
    pub rest_rounds: u32,
}

impl Config {
    /// The allowance of a node: all that chitchat wants to say in a cell of up to some fifteen
    /// nodes; in one of fifty a third of it.
    pub fn with_rounds_of(round: Duration) -> Self {
        Self { round, bytes_per_second: 10_000, eager_rounds: 2, rest_rounds: 10 }
    }
}

/// Credit is counted in millionths of a byte, so that none is lost between two moments.
const BYTE: i64 = 1_000_000;

/// The longest message that counts, in bytes: chitchat's own limit.
const LONGEST: usize = 65_507;

/// How much one node may begin just now.
#[derive(Debug, Clone)]
pub struct Pace {
    config: Config,
    /// What is left of the allowance; below zero once something longer was said.
    credit: i64,
    counted: Time,
    /// Until when this node has news.
    eager_until: Time,
    rested: Time,
}

impl Pace {
    /// A node that starts at `now`.
    pub fn new(config: Config, now: Time) -> Self {
        let mut pace =
            Self { config, credit: 0, counted: now, eager_until: now, rested: Time::ZERO };
        pace.credit = pace.most();
        pace
    }

    /// Whether an exchange may be begun now with a message of so many bytes. It counts as begun.
    pub fn begin(&mut self, now: Time, bytes: usize) -> bool {
        if now < self.eager_until {
            return true;
        }
        self.count(now);
        if self.credit <= 0 {
            return false;
        }
        let bytes = i64::try_from(bytes.min(LONGEST)).unwrap_or(0);
        self.credit = self.credit.saturating_sub(bytes.saturating_mul(BYTE));
        true
    }

    /// This node has something new to say.
    pub fn news(&mut self, now: Time) {
        if now >= self.rested {
            self.eager_until = now.plus(self.config.round * self.config.eager_rounds);
            self.rested = self.eager_until.plus(self.config.round * self.config.rest_rounds);
        }
    }

    /// Adds what has come since.
    fn count(&mut self, now: Time) {
        let micros = i64::try_from(now.since(self.counted).as_micros()).unwrap_or(i64::MAX);
        let more = micros.saturating_mul(i64::from(self.config.bytes_per_second));
        self.credit = self.credit.saturating_add(more).min(self.most());
        self.counted = now;
    }

    /// What is saved at most: what comes in one round, so that rounds are alike.
    fn most(&self) -> i64 {
        let micros = i64::try_from(self.config.round.as_micros()).unwrap_or(i64::MAX);
        micros.saturating_mul(i64::from(self.config.bytes_per_second))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUND: Duration = Duration::from_millis(500);
    /// What one node costs in a greeting, in bytes.
    const NAME: usize = 106;

    fn begun(nodes: usize, rounds: u32) -> usize {
        let mut pace = Pace::new(Config::with_rounds_of(ROUND), Time::ZERO);
        (0..rounds)
            .map(|round| {
                let now = Time::ZERO.plus(ROUND * round);
                (0..3).filter(|_| pace.begin(now, nodes * NAME)).count()
            })
            .sum()
    }

    #[test]
    fn in_a_small_cell_everything_is_said_and_in_a_large_one_about_the_same_number_of_bytes() {
        assert_eq!(begun(10, 100), 300);
        assert_eq!(begun(15, 100), 300);
        assert!((90..=105).contains(&begun(50, 100)), "{}", begun(50, 100));
        assert!((45..=52).contains(&begun(100, 100)), "{}", begun(100, 100));
        assert!((8..=12).contains(&begun(500, 100)), "{}", begun(500, 100));
    }

    #[test]
    fn the_rounds_of_a_large_cell_are_evenly_apart() {
        let mut pace = Pace::new(Config::with_rounds_of(ROUND), Time::ZERO);
        let mut last = 0;
        for round in 0..100 {
            let now = Time::ZERO.plus(ROUND * round);
            if (0..3).filter(|_| pace.begin(now, 100 * NAME)).count() > 0 {
                assert!(round - last <= 3, "nothing was begun from round {last} to {round}");
                last = round;
            }
        }
    }

    #[test]
    fn news_are_told_at_once_and_then_it_rests() {
        let config = Config::with_rounds_of(ROUND);
        let mut pace = Pace::new(config, Time::ZERO);
        let told = |pace: &mut Pace, round: u32| {
            let now = Time::ZERO.plus(ROUND * round);
            pace.news(now);
            (0..3).filter(|_| pace.begin(now, 200 * NAME)).count()
        };
        // All the allowance is used up.
        while pace.begin(Time::ZERO, 200 * NAME) {}
        let told: Vec<usize> = (1..=26).map(|round| told(&mut pace, round)).collect();
        assert_eq!(told.iter().filter(|begun| **begun == 3).count(), 6, "{told:?}");
        assert_eq!(told.get(..2), Some(&[3, 3][..]));
    }

    proptest! {
        #[test]
        fn in_no_time_more_is_begun_than_the_allowance_one_round_and_one_message(
            steps in prop::collection::vec((0u64..2_000, 1usize..70_000), 1..200),
        ) {
            let config = Config::with_rounds_of(ROUND);
            let mut pace = Pace::new(config, Time::ZERO);
            let (mut now, mut begun, mut longest) = (Time::ZERO, 0u64, 0u64);
            for (millis, bytes) in steps {
                now = now.plus(Duration::from_millis(millis));
                if pace.begin(now, bytes) {
                    begun += bytes.min(LONGEST) as u64;
                    longest = longest.max(bytes.min(LONGEST) as u64);
                }
            }
            let micros = (now.elapsed() + ROUND).as_micros() as u64;
            let allowed = micros * u64::from(config.bytes_per_second) / 1_000_000;
            prop_assert!(begun <= allowed + longest, "{begun} of {allowed} and {longest}");
        }
    }
}
