//! One alert on both arms: when it would have fired, and whether both arms decide alike.

use super::eval::evaluate;
use super::fleet::Fleet;
use super::plan::Expr;
use super::rules::Rule;
use super::vector::Vector;
use phoenix_engine::query::partial::Labels;
use std::collections::BTreeMap;

/// One time that an alert fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Its labels.
    pub labels: Labels,
    /// From the step that ends here, Unix epoch milliseconds.
    pub from_ms: u64,
    /// To before the step that ends here; `None`: it fires still.
    pub until_ms: Option<u64>,
}

/// Both arms' decisions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decided {
    /// Steps at which both arms were evaluated.
    pub steps: u64,
    /// The baseline fired so often.
    pub baseline: u64,
    /// The candidate fired so often.
    pub candidate: u64,
    /// Fired on the baseline, and not on the candidate.
    pub missed: Vec<Firing>,
    /// Fired on the candidate, and not on the baseline.
    pub extra: Vec<Firing>,
    /// Fired later on the candidate, by so many milliseconds.
    pub delayed: Vec<(Firing, u64)>,
    /// Fires on the baseline since the last evaluation only: whether it is missed is not known yet.
    pub open: u64,
}

/// Evaluates an alert on both arms and compares what they decide. Firing one evaluation later is no
/// delay: the two need not be sampled alike.
pub fn decide(rule: &Rule, expr: &Expr, fleet: &Fleet) -> Decided {
    let mut course = Course::default();
    for end in fleet.known.iter().copied() {
        if !is_evaluated(rule, fleet.step_ms, end) {
            continue;
        }
        let both = (evaluate(expr, fleet, 0, end), evaluate(expr, fleet, 1, end));
        if let (Some(baseline), Some(candidate)) = both {
            course.step(rule, end, [baseline, candidate]);
        }
    }
    course.decided(rule, fleet.step_ms)
}

/// Whether a rule's group is evaluated at the step that ends then: at its interval, where that is longer
/// than a step.
pub fn is_evaluated(rule: &Rule, step_ms: u64, end_ms: u64) -> bool {
    let interval = rule
        .interval_ms
        .filter(|ms| *ms > step_ms && ms.is_multiple_of(step_ms.max(1)));
    interval.is_none_or(|ms| end_ms.is_multiple_of(ms))
}

/// One alert on two sides (two arms, or two accounts of one arm), step by step.
#[derive(Debug, Clone, Default)]
pub struct Course {
    sides: [Alert; 2],
    steps: u64,
    last_ms: u64,
}

impl Course {
    /// Takes the expression's values at the step that ends then, of both sides.
    pub fn step(&mut self, rule: &Rule, end_ms: u64, holds: [Vector; 2]) {
        (self.steps, self.last_ms) = (self.steps + 1, end_ms);
        for (alert, vector) in self.sides.iter_mut().zip(holds) {
            alert.step(end_ms, rule.for_ms, vector.into_keys());
        }
    }

    /// Alerts that are pending, fire or have fired: what is kept of both sides.
    pub fn size(&self) -> usize {
        let of = |alert: &Alert| alert.active.len() + alert.over.len();
        self.sides.iter().map(of).sum()
    }

    /// What the sides decided: the first as `baseline`, the second as `candidate`.
    pub fn decided(self, rule: &Rule, step_ms: u64) -> Decided {
        let mut decided = Decided {
            steps: self.steps,
            ..Decided::default()
        };
        let [baseline, candidate] = self.sides.map(Alert::firings);
        let patience = rule.interval_ms.unwrap_or(0).max(step_ms);
        decided.compare(&baseline, &candidate, patience, self.last_ms);
        decided
    }
}

impl Decided {
    /// `last`: end of the last step that was evaluated.
    fn compare(&mut self, baseline: &[Firing], candidate: &[Firing], patience: u64, last: u64) {
        self.baseline = baseline.len() as u64;
        self.candidate = candidate.len() as u64;
        // What has just begun to fire may yet be answered.
        let young = |f: &Firing| f.until_ms.is_none() && last < f.from_ms + patience;
        for firing in baseline {
            let answers = candidate.iter().filter(|c| overlaps(firing, c, patience));
            match answers.map(|c| c.from_ms).min() {
                Some(from) if from > firing.from_ms + patience => {
                    let by = from - firing.from_ms;
                    self.delayed.push((firing.clone(), by));
                }
                Some(_) => {}
                None if young(firing) => self.open += 1,
                None => self.missed.push(firing.clone()),
            }
        }
        for firing in candidate {
            if baseline.iter().any(|b| overlaps(firing, b, patience)) {
                continue;
            }
            match young(firing) {
                true => self.open += 1,
                false => self.extra.push(firing.clone()),
            }
        }
    }
}

/// Whether two of the same labels fire at one time, or one right after the other.
fn overlaps(a: &Firing, b: &Firing, patience: u64) -> bool {
    let end = |f: &Firing| f.until_ms.unwrap_or(u64::MAX).saturating_add(patience);
    a.labels == b.labels && a.from_ms <= end(b) && b.from_ms <= end(a)
}

/// An alert of one side as it is evaluated.
#[derive(Debug, Clone, Default)]
struct Alert {
    /// Since when, and whether it fires.
    active: BTreeMap<Labels, (u64, Option<u64>)>,
    over: Vec<Firing>,
}

impl Alert {
    fn step(&mut self, end_ms: u64, for_ms: u64, holds: impl Iterator<Item = Labels>) {
        let mut before = std::mem::take(&mut self.active);
        for labels in holds {
            let (since, firing) = before.remove(&labels).unwrap_or((end_ms, None));
            let fires = firing.or((end_ms - since >= for_ms).then_some(end_ms));
            self.active.insert(labels, (since, fires));
        }
        for (labels, (_, firing)) in before {
            self.over.extend(firing.map(|from_ms| Firing {
                labels,
                from_ms,
                until_ms: Some(end_ms),
            }));
        }
    }

    fn firings(self) -> Vec<Firing> {
        let still = self.active.into_iter().filter_map(|(labels, (_, firing))| {
            Some(Firing {
                labels,
                from_ms: firing?,
                until_ms: None,
            })
        });
        self.over.into_iter().chain(still).collect()
    }
}
