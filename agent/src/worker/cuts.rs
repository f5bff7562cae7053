//! Where the engine's figures are cut: at the windows of an experiment, else every full minute.
//!
//! A window's report waits until the exporters have reached the mark at its end: then it is known
//! which of its points the next hop took, and where in the stream they lie.

mod wire;

use super::account::Account;
use super::outlets::Outlets;
use super::{Desired, Experiment, Stats};
use crate::exporters::queue::Account as QueueAccount;
use crate::limits;
use phoenix_engine::Nanos;
use phoenix_engine::compile::Division;
use phoenix_engine::report::Report;
use phoenix_proto::control::WindowReport;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

const MILLI: Nanos = 1_000_000;
const MINUTE: u64 = 60_000;
/// A window whose points the next hop has not taken by then is reported as void.
const PATIENCE: Nanos = 60_000 * MILLI;

/// The cuts of one worker.
#[derive(Debug)]
pub struct Cuts {
    incarnation: String,
    experiment: Option<Experiment>,
    split: bool,
    length_ms: u64,
    /// Start of the window that is open, milliseconds.
    start_ms: u64,
    /// Why the open window must not be compared, and then the next one.
    void: Option<&'static str>,
    warm_up: bool,
    marks: u64,
    used: Used,
    pending: VecDeque<Pending>,
    /// Settled accounts of next hop and shadow at the last window mark that was reached.
    reached: [QueueAccount; 2],
    last_minute: (Option<u64>, Option<u64>),
    /// The open minute is whole only if it was cut at its start.
    whole: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    cpu: f64,
    errors: u64,
    refused: u64,
}

/// A window (or, without a report, the start of the first) whose marks were not all reached.
#[derive(Debug)]
struct Pending {
    mark: u64,
    report: Option<WindowReport>,
    split: bool,
    since: Nanos,
    reached: [Option<QueueAccount>; 2],
}

impl Cuts {
    /// Cuts every full minute from `now` on.
    pub fn new(now: Nanos, incarnation: String) -> Cuts {
        Cuts {
            incarnation,
            experiment: None,
            split: false,
            length_ms: MINUTE,
            start_ms: floor(now, MINUTE),
            void: None,
            warm_up: false,
            marks: 0,
            used: Used::default(),
            pending: VecDeque::new(),
            reached: Default::default(),
            last_minute: (None, None),
            whole: false,
        }
    }

    /// A number for a place in the stream.
    pub fn next_mark(&mut self) -> u64 {
        self.marks += 1;
        self.marks
    }

    /// Distinct series in and out of the last full minute, exactly.
    pub fn last_minute(&self) -> (Option<u64>, Option<u64>) {
        self.last_minute
    }

    /// Whether the open window is over.
    pub fn is_due(&self, now: Nanos) -> bool {
        now / MILLI >= self.start_ms + self.length_ms
    }

    /// Closes the open window with the figures just cut; the next one begins.
    pub fn cut(
        &mut self,
        now: Nanos,
        report: &Report,
        account: &mut Account,
        stats: &Stats,
        outlets: &Outlets,
    ) {
        account.absorb(report, self.split);
        let start = self.start_ms;
        let end = start + self.length_ms;
        self.start_ms = floor(now, self.length_ms);
        // A worker that stood still for a whole window has mixed two of them.
        let stalled = self.start_ms != end;
        let exact = self.whole && !stalled && self.length_ms == MINUTE;
        let count = |n: Option<u64>| n.filter(|_| exact);
        self.last_minute = (
            count(report.baseline.series_in.exact),
            count(report.baseline.series_out.exact),
        );
        self.whole = true;
        let used = self.usage(stats, outlets);
        if let Some(experiment) = &self.experiment {
            let void = if stalled { Some("stalled") } else { self.void };
            let window = wire::window(experiment, &self.incarnation, (start, end), void, report);
            let window = WindowReport {
                cpu_seconds: Some(used.cpu - self.used.cpu),
                rss_bytes: limits::resident().map(|b| b as u64),
                export_errors: used.errors - self.used.errors,
                requests_refused: used.refused - self.used.refused,
                ..window
            };
            self.wait_for(Some(window), now, outlets);
            self.void = std::mem::take(&mut self.warm_up).then_some("warm-up");
        }
        self.used = used;
    }

    fn usage(&self, stats: &Stats, outlets: &Outlets) -> Used {
        let shadow = outlets.shadow.as_ref().map_or(0, |q| q.account().errors);
        Used {
            cpu: limits::process_cpu(),
            errors: outlets.next_hop.account().errors + shadow,
            refused: stats.requests_refused.load(Ordering::Relaxed),
        }
    }

    /// A swap: the open window is void; `last` are the figures up to it, with the last points that
    /// the old arms wrote.
    pub fn swapped(
        &mut self,
        now: Nanos,
        last: &Report,
        (old, new): (&Desired, &Desired),
        account: &mut Account,
        outlets: &Outlets,
    ) {
        account.absorb(last, self.split);
        if self.split {
            account.mark_arms((0, 0), self, &outlets.next_hop);
        }
        let experiment_of = |d: &Desired| d.plan.candidate.as_ref().map(|c| c.experiment.clone());
        let (was, is) = (experiment_of(old), experiment_of(new));
        let split = |d: &Desired| {
            let division = d.plan.candidate.as_ref().map(|c| &c.division);
            matches!(division, Some(Division::Split { .. }))
        };
        if was != is || split(old) != split(new) {
            account.end_candidate();
            if is.is_some() {
                account.begin_candidate(split(new));
            }
        }
        self.split = split(new);
        if self.split {
            account.mark_arms((0, 0), self, &outlets.next_hop);
        }
        self.whole = false;
        self.experiment = new.experiment.clone();
        let length = new.experiment.as_ref().map_or(MINUTE, |e| {
            u64::try_from(e.window.as_millis()).unwrap_or(MINUTE).max(1)
        });
        self.length_ms = length;
        self.start_ms = floor(now, length);
        if self.experiment.is_some() {
            let same = old.experiment == new.experiment;
            self.void = Some(if same { "swap" } else { "start" });
            self.warm_up = true;
            self.wait_for(None, now, outlets);
        }
    }

    fn wait_for(&mut self, report: Option<WindowReport>, now: Nanos, outlets: &Outlets) {
        let mark = self.next_mark();
        outlets.next_hop.mark(mark);
        if let Some(shadow) = &outlets.shadow {
            shadow.mark(mark);
        }
        self.pending.push_back(Pending {
            mark,
            report,
            split: self.split,
            since: now,
            reached: [None; 2],
        });
    }

    /// Notes the marks that were reached; gives the windows that are complete, in order.
    pub fn settle(
        &mut self,
        now: Nanos,
        account: &mut Account,
        outlets: &Outlets,
    ) -> Vec<WindowReport> {
        let queues = [Some(&outlets.next_hop), outlets.shadow.as_ref()];
        for (side, queue) in queues.into_iter().enumerate() {
            while let Some(passed) = queue.and_then(|q| q.passed()) {
                if side == 0 && account.reached(&passed) {
                    continue;
                }
                if let Some(p) = self.pending.iter_mut().find(|p| p.mark == passed.mark) {
                    p.reached[side] = Some(passed.account);
                }
            }
        }
        let mut done = Vec::new();
        while let Some(first) = self.pending.front() {
            let complete = first.reached[0].is_some()
                && (first.reached[1].is_some() || outlets.shadow.is_none());
            let late = now.saturating_sub(first.since) > PATIENCE;
            if !complete && !late {
                break;
            }
            if let Some(pending) = self.pending.pop_front() {
                done.extend(self.complete(pending, complete, outlets.shadow.is_some()));
            }
        }
        done
    }

    fn complete(&mut self, pending: Pending, complete: bool, shadow: bool) -> Option<WindowReport> {
        let from = self.reached;
        if let Some(next_hop) = pending.reached[0] {
            self.reached[0] = next_hop;
        }
        if let Some(shadow) = pending.reached[1] {
            self.reached[1] = shadow;
        }
        let mut report = pending.report?;
        wire::place(&mut report, (pending.split, shadow), from, self.reached);
        if !complete {
            // Nobody knows what became of these points, nor where the next window begins.
            report.void_reason = "export delayed".to_owned();
        }
        Some(report)
    }
}

/// The start of the window of `length` milliseconds that holds `now`.
fn floor(now: Nanos, length: u64) -> u64 {
    now / MILLI / length * length
}
