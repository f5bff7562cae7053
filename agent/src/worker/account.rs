//! The ledger at the level of the process: the engine's `exported` becomes what the next hop
//! accepted, what waits in the queue (`held`), what it refused (`dropped{next_hop}`) and what has no
//! form there (`dropped` by its reason).
//!
//! In a split both arms share one stream. Which arm's points a settled request held is known at
//! marks alone, set on every tick: an arm's points count as exported once the mark behind them has
//! been reached, and as held until then.

use super::cuts::Cuts;
use crate::exporters::queue::{Account as QueueAccount, Passed, Queue};
use crate::guard::Watched;
use phoenix_engine::ledger::Ledger;
use phoenix_engine::prometheus::Unfit;
use phoenix_engine::report::{ArmFigures, Report};
use std::collections::VecDeque;

/// Counts since the process began.
#[derive(Debug, Default)]
pub struct Account {
    baseline: Totals,
    candidate: Option<Totals>,
    /// Candidates of splits that have ended.
    ended: Ledger,
    ended_bytes_out: u64,
    /// Of requests, whoever's their points are.
    bytes_in: u64,
    /// Points that earlier split candidates wrote, and of those refused, when this one began.
    before: (u64, u64),
    split: bool,
    marks: VecDeque<ArmMark>,
    settled: Settled,
    panics: u64,
    identity_conflicts: u64,
    /// Both arms since the candidate began.
    watched: Watched,
}

#[derive(Debug, Default)]
struct Totals {
    ledger: Ledger,
    bytes_out: u64,
}

#[derive(Debug, Clone, Copy)]
struct ArmMark {
    mark: u64,
    baseline: u64,
    candidates: u64,
}

/// What is known about the arms' shares of the one stream, at the last mark that was reached.
#[derive(Debug, Clone, Copy, Default)]
struct Settled {
    baseline_written: u64,
    candidates_written: u64,
    refused: u64,
    baseline_refused: u64,
    candidates_refused: u64,
}

/// The account as the world sees it.
#[derive(Debug)]
pub struct View {
    /// Baseline arm.
    pub baseline: Ledger,
    /// Candidate arm of the present experiment.
    pub candidate: Option<Ledger>,
    /// Baseline and all split candidates.
    pub node: Ledger,
    /// Uncompressed OTLP in.
    pub bytes_in: u64,
    /// Uncompressed OTLP out.
    pub bytes_out: u64,
    /// Both arms since the candidate began.
    pub watched: Watched,
    /// Panics of candidate arms.
    pub panics: u64,
    /// Conflicts of identity.
    pub identity_conflicts: u64,
}

impl Account {
    /// Adds figures that the engine has cut. `split`: the candidate in them shares the stream.
    pub fn absorb(&mut self, report: &Report, split: bool) {
        self.baseline.add(&report.baseline);
        self.bytes_in += report.bytes_in;
        self.watched.add(report);
        self.panics += report.baseline.panics;
        self.identity_conflicts += report.baseline.identity_conflicts;
        for arm in report.ended.iter().chain(&report.candidate) {
            self.split = split;
            self.candidate.get_or_insert_default().add(arm);
            self.panics += arm.panics;
            self.identity_conflicts += arm.identity_conflicts;
        }
    }

    /// Panics of candidates that were absorbed.
    pub fn panics(&self) -> u64 {
        self.panics
    }

    /// Adds points that a receiver rejected before the engine saw them.
    pub fn reject(&mut self, points: u64) {
        let shadow = self.candidate.as_mut().filter(|_| !self.split);
        for arm in [Some(&mut self.baseline), shadow].into_iter().flatten() {
            arm.ledger.received += points;
            arm.ledger.rejected += points;
        }
    }

    /// A candidate arm begins.
    pub fn begin_candidate(&mut self, split: bool) {
        self.end_candidate();
        self.before = (self.ended.exported, self.settled.candidates_refused);
        self.split = split;
        self.watched = Watched::default();
        self.candidate = Some(Totals::default());
    }

    /// The candidate arm is over; a split's counts stay in the node's.
    pub fn end_candidate(&mut self) {
        if let Some(arm) = self.candidate.take()
            && self.split
        {
            add(&mut self.ended, &arm.ledger);
            self.ended_bytes_out += arm.bytes_out;
        }
        self.split = false;
    }

    /// Marks the present place of the stream with both arms' counts. `since`: what they wrote since
    /// the last figures that were absorbed.
    pub fn mark_arms(&mut self, since: (u64, u64), cuts: &mut Cuts, queue: &Queue) {
        let (baseline, candidate) = since;
        let mark = ArmMark {
            mark: cuts.next_mark(),
            baseline: self.baseline.ledger.exported + baseline,
            candidates: self.candidates_written() + candidate,
        };
        self.marks.push_back(mark);
        queue.mark(mark.mark);
    }

    fn candidates_written(&self) -> u64 {
        let present = self.candidate.as_ref().filter(|_| self.split);
        self.ended.exported + present.map_or(0, |c| c.ledger.exported)
    }

    /// Notes a mark that the exporter has reached; false if it is none of these.
    pub fn reached(&mut self, passed: &Passed) -> bool {
        if self.marks.front().is_none_or(|m| m.mark != passed.mark) {
            return false;
        }
        let Some(mark) = self.marks.pop_front() else {
            return false;
        };
        let s = &mut self.settled;
        let refused = passed.account.refused - s.refused;
        // Whose points were refused cannot be told; a window with a refusal is void for both.
        let baseline = refused.min(mark.baseline - s.baseline_written);
        *s = Settled {
            baseline_written: mark.baseline,
            candidates_written: mark.candidates,
            refused: passed.account.refused,
            baseline_refused: s.baseline_refused + baseline,
            candidates_refused: s.candidates_refused + refused - baseline,
        };
        true
    }

    /// The whole account now: what was absorbed, what the engine counted since, and the queue.
    pub fn view(&self, since: &Report, queue: &QueueAccount) -> View {
        let mut baseline = self.baseline.ledger.clone();
        add(&mut baseline, &since.baseline.ledger);
        let mut candidate = self.candidate.as_ref().map(|c| c.ledger.clone());
        if let (Some(total), Some(arm)) = (&mut candidate, &since.candidate) {
            add(total, &arm.ledger);
        }
        let split = self.split && candidate.is_some();
        let mut node = baseline.clone();
        add(&mut node, &self.ended);
        if let Some(arm) = candidate.as_ref().filter(|_| split) {
            add(&mut node, arm);
        }
        settle(&mut node, queue.refused, queue.waiting());
        name_unfit(&mut node, queue);
        self.settle_arms(&mut baseline, candidate.as_mut().filter(|_| split), queue);
        let of_candidate = match split {
            true => {
                self.candidate.as_ref().map_or(0, |c| c.bytes_out)
                    + since.candidate.as_ref().map_or(0, |c| c.bytes_out)
            }
            false => 0,
        };
        let mut watched = self.watched;
        watched.add(since);
        View {
            watched,
            bytes_in: self.bytes_in + since.bytes_in,
            bytes_out: self.baseline.bytes_out
                + since.baseline.bytes_out
                + self.ended_bytes_out
                + of_candidate,
            panics: self.panics
                + since.baseline.panics
                + since.candidate.as_ref().map_or(0, |c| c.panics),
            identity_conflicts: self.identity_conflicts
                + since.baseline.identity_conflicts
                + since.candidate.as_ref().map_or(0, |c| c.identity_conflicts),
            baseline,
            candidate,
            node,
        }
    }

    fn settle_arms(
        &self,
        baseline: &mut Ledger,
        candidate: Option<&mut Ledger>,
        queue: &QueueAccount,
    ) {
        let s = &self.settled;
        if candidate.is_none() && self.marks.is_empty() {
            // Since the last mark all points are the baseline's.
            let refused = s.baseline_refused + queue.refused - s.refused;
            settle(baseline, refused, queue.waiting());
            if s.candidates_refused == 0 {
                // Else it cannot be told whose points they were.
                name_unfit(baseline, queue);
            }
            return;
        }
        let waiting = baseline.exported.saturating_sub(s.baseline_written);
        settle(baseline, s.baseline_refused, waiting);
        if let Some(candidate) = candidate {
            let (written_before, refused_before) = self.before;
            let settled = s.candidates_written.saturating_sub(written_before);
            let waiting = candidate.exported.saturating_sub(settled);
            let refused = (s.candidates_refused - refused_before).min(candidate.exported - waiting);
            settle(candidate, refused, waiting);
        }
    }
}

impl Totals {
    fn add(&mut self, arm: &ArmFigures) {
        add(&mut self.ledger, &arm.ledger);
        self.bytes_out += arm.bytes_out;
    }
}

/// Moves points from `exported` to what became of them behind the engine.
fn settle(ledger: &mut Ledger, refused: u64, waiting: u64) {
    ledger.exported = ledger.exported.saturating_sub(refused + waiting);
    ledger.held += waiting as i64;
    if refused > 0 {
        *ledger.dropped.entry("next_hop".to_owned()).or_default() += refused;
    }
}

/// Of the refused points, calls those that have no form at the next hop by their reason.
fn name_unfit(ledger: &mut Ledger, queue: &QueueAccount) {
    for (unfit, points) in Unfit::ALL.iter().zip(queue.unfit) {
        let refused = ledger.dropped.get_mut("next_hop");
        let Some(refused) = refused.filter(|refused| points > 0 && **refused >= points) else {
            continue;
        };
        *refused -= points;
        *ledger.dropped.entry(unfit.name().to_owned()).or_default() += points;
    }
    ledger
        .dropped
        .retain(|reason, points| *points > 0 || reason != "next_hop");
}

/// Adds `more` to `sum`.
pub fn add(sum: &mut Ledger, more: &Ledger) {
    sum.add(more);
}
