//! A next hop that refuses what a candidate writes, where nothing of a baseline runs beside it.
//!
//! What it answers is held against what it answered before: it must have taken most of what was written, and not
//! have refused most of it in the last minute.

use super::{AGAIN, Breach};
use phoenix_proto::control::Harm;
use std::time::Duration;

/// For so long it must not have refused most of what was written without the candidate.
const CALM: Duration = Duration::from_secs(60);

/// What a next hop has said of what was written, since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answers {
    /// Points that it took.
    pub taken: u64,
    /// Points that it refused for what they are.
    pub unwanted: u64,
}

/// What the next hop answered at the looks so far.
#[derive(Debug, Default)]
pub struct Refusals {
    last: Answers,
    /// It took most of what it answered for at the last look that tells.
    took: bool,
    /// When it last refused half or more that was not to be laid on a candidate.
    refused: Option<Duration>,
    /// Looks running at which it refused half or more of what a candidate wrote.
    running: u32,
    /// The last look before those.
    well: Duration,
}

impl Refusals {
    /// Looks once. `ends`: a candidate runs that is to be ended if it is refused.
    pub fn look(&mut self, answers: Answers, ends: bool, now: Duration) -> Option<Breach> {
        let before = std::mem::replace(&mut self.last, answers);
        let taken = answers.taken.saturating_sub(before.taken);
        let unwanted = answers.unwanted.saturating_sub(before.unwanted);
        let refuses = unwanted > 0 && unwanted >= taken;
        let calm = self.refused.is_none_or(|t| now.saturating_sub(t) > CALM);
        if refuses && ends && self.took && calm {
            self.running += 1;
        } else if refuses {
            (self.took, self.refused) = (false, Some(now));
        } else if taken > 0 {
            (self.took, self.running) = (true, 0);
        }
        if self.running == 0 || !ends {
            (self.running, self.well) = (0, now);
        }
        if self.running < AGAIN {
            return None;
        }
        let all = (taken + unwanted) as f64;
        let reason = format!(
            "the next hop refuses what the candidate writes: {unwanted} of {} points since the look before, and took them before it ran",
            taken + unwanted
        );
        Some(Breach {
            lasted: now.saturating_sub(self.well),
            ..Breach::new(Harm::Export, (unwanted as f64 / all, 0.5), reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At each look, a second apart: points taken, points refused, whether a candidate runs. When it was ended.
    fn ended(looks: &[(u64, u64, bool)]) -> Option<usize> {
        let (mut refusals, mut answers) = (Refusals::default(), Answers::default());
        looks
            .iter()
            .enumerate()
            .position(|(n, (taken, unwanted, ends))| {
                answers.taken += taken;
                answers.unwanted += unwanted;
                let found = refusals.look(answers, *ends, Duration::from_secs(n as u64));
                found.is_some_and(|b| b.harm == Harm::Export && b.lasted > Duration::ZERO)
            })
    }

    const BEFORE: (u64, u64, bool) = (10, 0, false);
    const REFUSED: (u64, u64, bool) = (0, 10, true);

    #[test]
    fn what_was_taken_before_and_is_refused_twice_ends_the_candidate() {
        assert_eq!(ended(&[BEFORE, REFUSED, REFUSED]), Some(2));
        let (none, half) = ((0, 0, true), (5, 5, true));
        assert_eq!(ended(&[BEFORE, none, REFUSED, none, half]), Some(4));
        assert_eq!(ended(&[BEFORE, (10, 0, true), half, half]), Some(3));
    }

    #[test]
    fn once_a_few_points_or_without_a_candidate_to_end_is_nothing() {
        let (few, taken) = ((6, 5, true), (10, 0, true));
        assert_eq!(ended(&[BEFORE, REFUSED, taken, REFUSED, few, few]), None);
        let shared = (0, 10, false);
        assert_eq!(ended(&[BEFORE, shared, shared, shared]), None);
    }

    #[test]
    fn what_was_refused_before_it_ran_is_not_the_candidates() {
        let shared = (0, 10, false);
        assert_eq!(ended(&[BEFORE, shared, REFUSED, REFUSED, REFUSED]), None);
        assert_eq!(
            ended(&[BEFORE, shared, BEFORE, REFUSED, REFUSED]),
            None,
            "a moment ago"
        );
        // A process that began with the candidate knows nothing of before, until something is taken.
        assert_eq!(ended(&[REFUSED, REFUSED, REFUSED]), None);
        let mut long_ago = vec![shared];
        long_ago.extend([BEFORE; 61]);
        long_ago.extend([REFUSED; 2]);
        assert_eq!(ended(&long_ago), Some(63));
    }
}
