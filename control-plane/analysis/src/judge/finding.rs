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
        figures,
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
