//! What a backend that both arms reach told, beside what the agents told.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How two accounts of the same lie to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Word {
    #[serde(rename = "agrees")]
    Agrees,
    #[serde(rename = "disagrees")]
    Disagrees,
    /// Not the same is measured, or nothing was there to compare.
    #[serde(rename = "not comparable")]
    NotComparable,
    /// The backend gave no answer.
    #[default]
    #[serde(rename = "not asked")]
    NotAsked,
}

impl Word {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Word::Agrees => "agrees",
            Word::Disagrees => "disagrees",
            Word::NotComparable => "not comparable",
            Word::NotAsked => "not asked",
        }
    }
}

/// The second account of one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Witness {
    /// The experiment's revision while the step ran.
    pub revision: u64,
    /// Its name.
    pub step: String,
    /// Disagrees where one figure does; else agrees where one does.
    pub word: Word,
    /// One sentence.
    pub reason: String,
    /// The address that was asked.
    pub url: String,
    /// What the backend says that it is; null: not known.
    pub version: Option<String>,
    /// Largest relative difference that agrees.
    pub tolerance: f64,
    /// Windows that ended up to then were asked about, Unix epoch milliseconds; 0: none.
    pub until_ms: u64,
    /// Windows that were left out because not every agent's report of them had come.
    pub unreported: u64,
    /// A figure of an arm each.
    pub figures: Vec<WitnessFigure>,
}

/// One figure of one arm by both accounts: means over the windows that were compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WitnessFigure {
    /// `series`, `samples`, `query NAME`, `alert NAME`.
    pub what: String,
    /// `baseline`, `candidate`.
    pub arm: String,
    /// As the backend was asked.
    pub expr: String,
    pub word: Word,
    /// One sentence.
    pub reason: String,
    /// Windows that were compared.
    pub windows: u64,
    /// Values that both have.
    pub values: u64,
    /// Values that the backend lacks.
    pub missing: u64,
    /// The group that differs most; empty: all in one.
    pub labels: BTreeMap<String, String>,
    /// Its mean by the agents' account; of an alert, how often it fired.
    pub agents: Option<f64>,
    /// The same by the backend's.
    pub backend: Option<f64>,
    /// Relative difference; null: one is not known, or stands against nothing.
    pub error: Option<f64>,
}
