//! The exact account of points.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of points of one arm:
/// `received = exported + filtered + merged + sampled_out + suppressed + rejected + dropped + held`.
///
/// The engine's `exported` means "written to the output"; the process around it moves what waits in
/// its queue to `held` and what the next hop refuses to `dropped{next_hop}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Points of accepted requests, plus those rejected one by one.
    pub received: u64,
    /// Points written to the output.
    pub exported: u64,
    /// Points dropped by a filter rule.
    pub filtered: u64,
    /// Points taken into closed windows minus points these wrote; can be negative.
    pub merged: i64,
    /// Points not kept by a sample stage.
    pub sampled_out: u64,
    /// Points held back because they said nothing new (dead-band, unchanged).
    pub suppressed: u64,
    /// Points refused one by one (partial success).
    pub rejected: u64,
    /// Points lost, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Points in open windows (and queues).
    pub held: i64,
}

impl Ledger {
    /// What the ledger cannot explain; 0 when it balances.
    pub fn imbalance(&self) -> i128 {
        let out = i128::from(self.exported)
            + i128::from(self.filtered)
            + i128::from(self.merged)
            + i128::from(self.sampled_out)
            + i128::from(self.suppressed)
            + i128::from(self.rejected)
            + self.dropped.values().map(|n| i128::from(*n)).sum::<i128>()
            + i128::from(self.held);
        i128::from(self.received) - out
    }
}
