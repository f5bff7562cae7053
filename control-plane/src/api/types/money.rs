//! What a saving is worth, as it is shown.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What a saving is worth in a month under one price book.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// The price book.
    pub book: String,
    /// Of the amounts.
    pub currency: String,
    /// Date of the list prices.
    pub date: String,
    /// Bill of a month without the candidate; null: not known.
    pub before: Option<Amount>,
    /// Saved in a month; negative: it costs more; null: not known, see `unknown`.
    pub saved: Option<Amount>,
    /// The same as a share of the bill; null: not known, or nothing is paid.
    pub share: Option<Amount>,
    /// The meter that decides the bill.
    pub binds: Option<String>,
    /// The one that decides it with the candidate, where that is another.
    pub binds_after: Option<String>,
    /// Why nothing is saved, where nothing is.
    pub nothing: Option<String>,
    /// Why there is no amount.
    pub unknown: Option<String>,
    /// Hours that it was extrapolated from.
    pub hours: f64,
}

/// From the least to the most that it may be; an end that is not known is null.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Amount {
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Of a verdict; those of before there were any have none.
pub fn of(verdict: &Value) -> Vec<Money> {
    let money = verdict.get("money").cloned().unwrap_or_default();
    serde_json::from_value(money).unwrap_or_default()
}
