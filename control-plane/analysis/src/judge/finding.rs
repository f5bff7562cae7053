//! How a criterion's finding is written down.

use crate::verdict::{Criterion, Ruling};
use serde_json::Value;

/// `figures` is a JSON object.
pub fn finding(name: &str, outcome: Ruling, reason: String, figures: Value) -> Criterion {
    let figures = match figures {
        Value::Object(map) => map.into_iter().collect(),
        _ => Default::default(),
    };
    Criterion {
        name: name.into(),
        outcome,
        reason,
        threshold: String::new(),
        figures,
    }
}

impl Criterion {
    /// The same with the threshold that it was held against, as a person reads it.
    pub(crate) fn against(mut self, threshold: impl Into<String>) -> Criterion {
        self.threshold = threshold.into();
        self
    }
}

/// `12.3 %`, as a person reads it.
pub fn ratio_text(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 1e-9 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.2} %")
    }
}
