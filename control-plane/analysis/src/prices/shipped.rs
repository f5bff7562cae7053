//! The books that come with the product. Their figures are those of one dated collection of vendors'
//! list prices; a test holds them against it.

use super::book::{PriceBook, read};
use phoenix_engine::document::Problem;

macro_rules! books {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../prices/", $name, ".yaml")))),*]
    };
}

/// Names and texts.
pub(super) const TEXTS: [(&str, &str); 12] = books![
    "amazon-managed-prometheus",
    "azure-managed-prometheus",
    "cloudwatch-custom-metrics",
    "cloudwatch-otlp",
    "datadog-custom-metrics",
    "elastic-serverless",
    "google-managed-prometheus",
    "grafana-cloud-pro",
    "new-relic",
    "self-hosted-mimir",
    "self-hosted-prometheus",
    "self-hosted-victoriametrics",
];

/// All of them, by name.
///
/// # Errors
/// One that is not valid (which a test excludes).
pub fn shipped() -> Result<Vec<PriceBook>, Vec<Problem>> {
    TEXTS.iter().map(|(_, text)| read(text)).collect()
}

/// The text of one, to be edited and given back.
pub fn find(name: &str) -> Option<&'static str> {
    let found = TEXTS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}
