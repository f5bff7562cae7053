//! Guardrails that an agent watches by itself: what harm is, and when it is enough to go back to the
//! baseline. Pure: figures are given once a second, whether or not the control plane can be reached.
//!
//! A panic is dealt with by the worker at once. What must never be (an account that does not balance, a
//! protected point lost, a failed export too many) counts when it is seen; what varies (memory, latency)
//! when it is seen at two looks, one after the other; so does a next hop that refuses what the candidate writes.

mod refusals;

pub use refusals::{Answers, Refusals};

use phoenix_engine::report::{ArmFigures, Protected, Report};
use phoenix_proto::control::{Guardrails, Harm};
use std::time::Duration;

/// Between two looks. Two of them, and the swap, are well inside the 5 s in which harm must end.
pub const LOOK: Duration = Duration::from_secs(1);
/// Looks at which what varies must be seen.
const AGAIN: u32 = 2;

/// Why a candidate was ended here.
#[derive(Debug, Clone, PartialEq)]
pub struct Breach {
    /// What was harmed.
    pub harm: Harm,
    /// What was measured.
    pub measured: f64,
    /// What was allowed.
    pub threshold: f64,
    /// Both in one sentence.
    pub reason: String,
    /// How long ago all was well for the last time, at most; added up on the way to the baseline.
    pub lasted: Duration,
}

impl Breach {
    /// A breach that was seen at once.
    pub fn new(harm: Harm, (measured, threshold): (f64, f64), reason: impl Into<String>) -> Breach {
        Breach {
            harm,
            measured,
            threshold,
            reason: reason.into(),
            lasted: Duration::ZERO,
        }
    }

    /// A candidate that panicked.
    ///
    /// `look`: how often the worker looks for it; the engine has ended the arm by then.
    pub fn panic(panics: u64, look: Duration) -> Breach {
        let reason = "the candidate pipeline panicked";
        Breach {
            lasted: look,
            ..Breach::new(Harm::Panic, (panics as f64, 0.0), reason)
        }
    }
}

/// Figures of both arms since the candidate began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Watched {
    /// The protected set in the candidate.
    pub protected: Protected,
    /// Requests that reached baseline and candidate, and nanoseconds that they spent there.
    pub requests: [(u64, u64); 2],
}

impl Watched {
    /// Adds figures of both arms.
    pub fn add(&mut self, report: &Report) {
        let requests = |arm: &ArmFigures| arm.latency.as_ref().map_or((0, 0), |l| (l.count, l.sum));
        let mut add = |side: usize, (count, sum): (u64, u64)| {
            self.requests[side].0 += count;
            self.requests[side].1 += sum;
        };
        add(0, requests(&report.baseline));
        if let Some(candidate) = &report.candidate {
            add(1, requests(candidate));
            self.protected.points_in += candidate.protected.points_in;
            self.protected.points_out += candidate.protected.points_out;
        }
    }
}

/// What there is to look at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Since the candidate began.
    pub watched: Watched,
    /// What the candidate's ledger cannot explain.
    pub imbalance: i128,
    /// Resident bytes of the agent.
    pub rss_bytes: Option<u64>,
    /// Failed exports of the stream that holds the candidate's points, since the process began.
    pub export_errors: Option<u64>,
    /// What the next hop has said, since the process began.
    pub answers: Answers,
}

/// The guardrails of one candidate.
#[derive(Debug)]
pub struct Guard {
    limits: Guardrails,
    /// Resident bytes before the candidate ran.
    rss_before: Option<u64>,
    errors_before: Option<u64>,
    requests: [(u64, u64); 2],
    slow: u32,
    large: u32,
    well: Duration,
}

impl Guard {
    /// Begins to watch at `now`. `before`: as it was without the candidate.
    pub fn new(limits: Guardrails, before: &Sample, now: Duration) -> Guard {
        Guard {
            limits,
            rss_before: before.rss_bytes,
            errors_before: before.export_errors,
            requests: [(0, 0); 2],
            slow: 0,
            large: 0,
            well: now,
        }
    }

    /// Resident bytes before the candidate ran.
    pub fn rss_before(&self) -> Option<u64> {
        self.rss_before
    }

    /// Whether it ends where the next hop refuses what it writes.
    pub fn ends_if_refused(&self) -> bool {
        self.limits.end_if_refused
    }

    /// Looks once; what is too much.
    pub fn look(&mut self, sample: &Sample, now: Duration) -> Option<Breach> {
        let large = self.memory(sample);
        let slow = self.latency(sample);
        let found = imbalance(sample)
            .or_else(|| self.protected(sample))
            .or_else(|| self.exports(sample))
            .or_else(|| large.clone().filter(|_| self.large >= AGAIN))
            .or_else(|| slow.clone().filter(|_| self.slow >= AGAIN));
        if self.large == 0 && self.slow == 0 && found.is_none() {
            self.well = now;
        }
        found.map(|breach| Breach {
            lasted: now.saturating_sub(self.well),
            ..breach
        })
    }

    fn protected(&self, sample: &Sample) -> Option<Breach> {
        let least = self.limits.protected_retention?;
        let Protected {
            points_in,
            points_out,
            ..
        } = sample.watched.protected;
        if points_in == 0 {
            return None;
        }
        let kept = points_out as f64 / points_in as f64;
        let reason = format!(
            "{} of {points_in} protected points did not leave the candidate unchanged: {kept:.4} of them did, {least} must",
            points_in.saturating_sub(points_out)
        );
        (kept < least).then(|| Breach::new(Harm::Protected, (kept, least), reason))
    }

    fn exports(&self, sample: &Sample) -> Option<Breach> {
        let most = self.limits.max_export_errors?;
        let errors = sample.export_errors?.saturating_sub(self.errors_before?);
        let reason = format!("{errors} exports of the candidate's points failed, more than {most}");
        (errors > most).then(|| Breach::new(Harm::Export, (errors as f64, most as f64), reason))
    }

    fn memory(&mut self, sample: &Sample) -> Option<Breach> {
        let size = self.limits.max_memory_bytes.and_then(|most| {
            let now = sample.rss_bytes?;
            let reason = format!(
                "the agent takes {now} bytes of memory with the candidate, more than {most}"
            );
            let figures = (now as f64, most as f64);
            (now > most).then(|| Breach::new(Harm::Memory, figures, reason))
        });
        let ratio = self.limits.max_memory_ratio.and_then(|most| {
            let (now, before) = (sample.rss_bytes?, self.rss_before.filter(|b| *b > 0)?);
            let ratio = now as f64 / before as f64;
            let reason = format!(
                "the agent takes {now} bytes of memory, {ratio:.2} of the {before} before the candidate ran: more than {most}"
            );
            (ratio > most).then(|| Breach::new(Harm::Memory, (ratio, most), reason))
        });
        let found = size.or(ratio);
        self.large = if found.is_some() { self.large + 1 } else { 0 };
        found
    }

    /// The mean of the requests since the last look; without any it stays as it was.
    fn latency(&mut self, sample: &Sample) -> Option<Breach> {
        let most = self.limits.max_added_latency_ns?;
        let now = sample.watched.requests;
        let before = std::mem::replace(&mut self.requests, now);
        let mean = |side: usize| -> Option<f64> {
            let count = now[side].0.checked_sub(before[side].0).filter(|n| *n > 0)?;
            let spent = now[side].1.saturating_sub(before[side].1);
            Some(spent as f64 / count as f64)
        };
        let candidate = mean(1)?;
        let added = candidate - mean(0).unwrap_or(0.0);
        let reason = format!(
            "requests spent {:.3} ms more in the candidate's arm than in the baseline's, more than {:.3} ms",
            added / 1e6,
            most as f64 / 1e6
        );
        let found =
            (added > most as f64).then(|| Breach::new(Harm::Latency, (added, most as f64), reason));
        self.slow = if found.is_some() { self.slow + 1 } else { 0 };
        found
    }
}

fn imbalance(sample: &Sample) -> Option<Breach> {
    let lost = sample.imbalance;
    let reason =
        format!("the candidate's ledger does not balance: {lost} points are not accounted for");
    (lost != 0).then(|| Breach::new(Harm::Ledger, (lost as f64, 0.0), reason))
}

#[cfg(test)]
mod tests;
