//! What the judge says: an outcome, one sentence of reason per criterion, and the figures used.

use crate::criteria::{Ask, Criteria, Measure};
use crate::prices::{Estimate, Usage, estimate, shipped};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The answer of the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What is to be done.
    pub outcome: Outcome,
    /// Why, one sentence: that of the criterion which decided.
    pub reason: String,
    /// The candidate did harm (and not only miss its goal): its hash is not to be tried again.
    #[serde(default)]
    pub harm: bool,
    /// In the order in which they were judged.
    pub criteria: Vec<Criterion>,
    /// What the candidate saved, of everything that is counted.
    pub savings: Savings,
    /// What the saving is worth in a month, by list prices: under the goal's book, where it names one, and
    /// under those that [`Verdict::priced`] adds.
    #[serde(default)]
    pub money: Vec<Estimate>,
    /// What the figures stand on.
    pub windows: Windows,
    /// Version of the rules that judged.
    pub judge_version: u32,
    /// What was asked, so that the same windows can be judged again.
    pub asked: Criteria,
}

impl Verdict {
    /// The same with what the saving is worth under every book that is shipped. Nothing is judged by these;
    /// of an A/A, and where nothing was compared, there are none.
    #[must_use]
    pub fn priced(mut self) -> Verdict {
        let asks = matches!(self.asked.ask, Ask::Goal | Ask::Guardrails);
        if !asks || self.windows.used == 0 {
            return self;
        }
        let usage = Usage::of(&self);
        // One that is not valid is found by a test.
        for book in shipped().unwrap_or_default() {
            if self.money.iter().all(|known| known.book != book.name) {
                self.money.push(estimate(&book, &usage));
            }
        }
        self
    }
}

/// What is to be done with the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The goal is reached and nothing is harmed.
    #[serde(rename = "promote")]
    Promote,
    /// Harm was seen, or the saving is clearly below the target.
    #[serde(rename = "reject")]
    Reject,
    /// It cannot be said: the baseline stays.
    #[serde(rename = "inconclusive")]
    Inconclusive,
    /// Nothing comparable was seen.
    #[serde(rename = "no data")]
    NoData,
}

impl Outcome {
    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Promote => "promote",
            Outcome::Reject => "reject",
            Outcome::Inconclusive => "inconclusive",
            Outcome::NoData => "no data",
        }
    }

    /// More windows would not be waited for.
    pub fn is_decided(self) -> bool {
        matches!(self, Outcome::Promote | Outcome::Reject)
    }
}

/// One criterion: what was found and why, with its figures and thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Criterion {
    /// `windows`, `ledger`, `arms`, `panics`, `cpu`, `protected points`, `goal`, ...
    pub name: String,
    /// What was found.
    pub outcome: Ruling,
    /// One sentence.
    pub reason: String,
    /// What it was held against, as a person reads it; empty: nothing was asked.
    #[serde(default)]
    pub threshold: String,
    /// Figures used; unknown ones are null.
    pub figures: BTreeMap<String, Value>,
}

/// What a criterion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ruling {
    /// Met.
    #[serde(rename = "pass")]
    Pass,
    /// Harm: rejects at once, with however little data.
    #[serde(rename = "harm")]
    Harm,
    /// Not met: rejects when there are windows enough.
    #[serde(rename = "fail")]
    Fail,
    /// The comparison itself is not valid.
    #[serde(rename = "void")]
    Void,
    /// Asked for, and not known: never counts as met.
    #[serde(rename = "unknown")]
    Unknown,
    /// Not asked for; the figures are shown only.
    #[serde(rename = "not asked")]
    NotAsked,
}

/// Savings of every volume that is counted, whatever the goal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Savings {
    /// Points exported.
    pub points: Saving,
    /// Distinct series per window, added over windows.
    pub series: Saving,
    /// Uncompressed OTLP bytes.
    pub bytes: Saving,
    /// Prometheus samples.
    #[serde(default)]
    pub samples: Saving,
}

impl Savings {
    /// That of one volume; money is none.
    pub fn of(&self, measure: Measure) -> Option<&Saving> {
        Some(match measure {
            Measure::Points => &self.points,
            Measure::Series => &self.series,
            Measure::Bytes => &self.bytes,
            Measure::Samples => &self.samples,
            Measure::Money => return None,
        })
    }
}

/// One measure over the comparable windows. In a split `baseline` and `candidate` are volumes of
/// different entities: only the ratios to what came in compare.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saving {
    /// Came into the baseline arm.
    pub baseline_in: Option<u64>,
    /// Left the baseline arm.
    pub baseline: Option<u64>,
    /// Came into the candidate arm.
    pub candidate_in: Option<u64>,
    /// Left (or, in shadow, would have left) the candidate arm.
    pub candidate: Option<u64>,
    /// Share saved.
    pub saving: Option<f64>,
    /// It is not less than this (see README.md of this crate).
    pub lower: Option<f64>,
    /// It is not more than this.
    pub upper: Option<f64>,
    /// The volumes were counted, not estimated from sketches.
    pub exact: bool,
}

/// What the figures stand on. `used`, `void` and `expected` count windows of the fleet; `reports`
/// counts reports of agents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Windows {
    /// Windows with at least one comparable report.
    pub used: u64,
    /// Windows with reports, none of them comparable.
    pub void: u64,
    /// Windows that should have been seen.
    pub expected: u64,
    /// Reports of agents.
    pub reports: Reports,
    /// Start of the first window used.
    pub from_ms: Option<u64>,
    /// End of the last window used.
    pub until_ms: Option<u64>,
}

/// Reports of agents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reports {
    /// Compared.
    pub used: u64,
    /// Not comparable, by reason.
    pub void: BTreeMap<String, u64>,
    /// Expected and never seen.
    pub missing: u64,
}
