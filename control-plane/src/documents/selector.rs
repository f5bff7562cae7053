//! Which agents: all labels given must be equal. An empty selector matches every agent.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `selector` of an assignment or experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
}

impl Selector {
    /// Every agent also has the labels `phoenix.node` and `phoenix.cluster`.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Whether some agent could match both: no key that they want different values of.
    pub fn overlaps(&self, other: &Selector) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| other.match_labels.get(key).is_none_or(|v| v == value))
    }
}
