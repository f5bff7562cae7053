//! The document of a price book, and its checks.

use phoenix_engine::document::Problem;
use phoenix_engine::yaml::from_yaml;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A price book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PriceBook {
    /// `metadata.name`
    pub name: String,
    /// `metadata.description`
    pub description: String,
    /// The rest.
    #[serde(flatten)]
    pub spec: Spec,
}

/// `spec` of a price book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// Of all prices, like `USD`.
    pub currency: String,
    /// When the prices were seen, with a date as 2026-11-25 in it.
    pub date: String,
    /// Where they were seen.
    pub source: String,
    /// How far they can be trusted.
    pub confidence: String,
    /// Where they hold; empty: not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// How the charges make the bill.
    #[serde(default)]
    pub bills: Bills,
    /// What is counted, and what is asked for it.
    pub charges: Vec<Charge>,
    /// What the vendor charges, too, and no figure is known for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<String>,
}

/// How charges make a bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bills {
    /// All of them.
    #[default]
    Sum,
    /// The largest.
    Max,
}

/// One thing that is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Charge {
    /// For people.
    pub name: String,
    /// Which figure of ours it is made of.
    pub counts: Counts,
    /// How the vendor counts it over a month.
    pub how: String,
    /// What one of ours is to the vendor, before `per`: 300 to 600 bytes a point.
    #[serde(default)]
    pub times: Times,
    /// The price is for so many.
    #[serde(default = "one")]
    pub per: f64,
    /// What `per` is called: `1k series`, `GB`.
    pub unit: String,
    /// Not paid for, in what the vendor counts.
    #[serde(default)]
    pub included: f64,
    /// Prices; none: only the quantity is known, for whoever knows what it costs.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// Why no number can be given although there is a price; empty: one can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unknown: String,
}

/// Figures of ours that vendors' meters are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Counts {
    /// Distinct series.
    Series,
    /// Prometheus samples of a month: of a classic histogram of n bounds n + 3.
    Samples,
    /// The same in a minute.
    SamplesPerMinute,
    /// No more than the samples and no less than the points of a month: a histogram is counted by the
    /// buckets that hold something.
    SamplesAtMost,
    /// OTLP data points of a month.
    Points,
    /// Uncompressed OTLP bytes of a month, as they are exported.
    Bytes,
}

/// A factor that is known, or known to lie between two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// At least.
    pub from: f64,
    /// At most.
    pub to: f64,
}

impl Default for Times {
    fn default() -> Times {
        Times { from: 1.0, to: 1.0 }
    }
}

/// A price for volume up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tier {
    /// In what the vendor counts, from zero; `None`: for all above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<f64>,
    /// For `per` of it.
    pub price: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    #[serde(default)]
    description: String,
}

/// Reads a price book.
///
/// # Errors
/// Every problem that could be found, each with its path and what to write instead.
pub fn read(text: &str) -> Result<PriceBook, Vec<Problem>> {
    let document: Document = from_yaml(text)?;
    let mut problems = Vec::new();
    let mut wrong =
        |path: &str, message: &str| problems.push(Problem::new(path, message.to_owned()));
    if document.api_version != "phoenix/v1" {
        wrong("apiVersion", "must be phoenix/v1");
    }
    if document.kind != "PriceBook" {
        wrong("kind", "must be PriceBook");
    }
    if document.metadata.name.is_empty() {
        wrong("metadata.name", "is empty; give the book a name");
    }
    check(&document.spec, &mut problems);
    if problems.is_empty() {
        Ok(PriceBook {
            name: document.metadata.name,
            description: document.metadata.description,
            spec: document.spec,
        })
    } else {
        Err(problems)
    }
}

fn check(spec: &Spec, problems: &mut Vec<Problem>) {
    let mut wrong = |path: String, message: &str| {
        problems.push(Problem::new(path, message.to_owned()));
    };
    if !has_date(&spec.date) {
        let message = "has no date; write when the prices were seen, like 2026-11-25";
        wrong("spec.date".to_owned(), message);
    }
    for (key, text) in [
        ("currency", &spec.currency),
        ("source", &spec.source),
        ("confidence", &spec.confidence),
    ] {
        if text.trim().is_empty() {
            wrong(
                format!("spec.{key}"),
                "is empty; a price without it is hearsay",
            );
        }
    }
    if spec.charges.is_empty() {
        wrong("spec.charges".to_owned(), "is empty; name what is counted");
    }
    for (number, charge) in spec.charges.iter().enumerate() {
        let mut wrong = |key: &str, message: &str| {
            wrong(format!("spec.charges[{number}].{key}"), message);
        };
        if !(charge.per.is_finite() && charge.per > 0.0) {
            wrong("per", "must be above 0");
        }
        if !(charge.included.is_finite() && charge.included >= 0.0) {
            wrong("included", "must not be below 0");
        }
        let Times { from, to } = charge.times;
        if !(from > 0.0 && to >= from && to.is_finite()) {
            wrong("times", "must be above 0, and `to` not below `from`");
        }
        let mut before = 0.0;
        for (tier, Tier { up_to, price }) in charge.tiers.iter().enumerate() {
            let last = tier + 1 == charge.tiers.len();
            if !(price.is_finite() && *price >= 0.0) {
                wrong(&format!("tiers[{tier}].price"), "must not be below 0");
            }
            match up_to {
                Some(bound) if *bound > before => before = *bound,
                Some(_) => wrong(
                    &format!("tiers[{tier}].upTo"),
                    "must be above the bound of the tier before",
                ),
                None if last => {}
                None => wrong(
                    &format!("tiers[{tier}].upTo"),
                    "is missing; only the last tier has no bound",
                ),
            }
        }
    }
}

impl PriceBook {
    /// Why no bill can be told under it, however much is known of what is counted; `None`: one can.
    pub fn lacks(&self) -> Option<String> {
        let lack = |charge: &Charge| match (charge.unknown.is_empty(), charge.tiers.is_empty()) {
            (false, _) => Some(format!("{}: {}", charge.name, charge.unknown)),
            (true, true) => Some(format!("{}: it has no price", charge.name)),
            (true, false) => None,
        };
        let lacks: Vec<String> = self.spec.charges.iter().filter_map(lack).collect();
        (!lacks.is_empty()).then(|| lacks.join("; "))
    }
}

/// Four digits, two, two.
fn has_date(text: &str) -> bool {
    let shape = |window: &[u8]| {
        window.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    };
    text.as_bytes().windows(10).any(shape)
}
