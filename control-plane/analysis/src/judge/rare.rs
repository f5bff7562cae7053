//! What is rare: refused requests, counted against a limit.

use super::finding::finding;
use super::select::Selection;
use crate::criteria::Criteria;
use crate::verdict::{Criterion, Ruling};
use serde_json::json;

pub fn refused_requests(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let count = selection.all.iter().map(|w| w.requests_refused).sum();
    let limit = criteria.guardrails.max_refused_requests;
    counted("refused requests", "refused requests", count, limit)
}

pub fn counted(name: &str, what: &str, count: u64, limit: Option<u64>) -> Criterion {
    let figures = json!({ "count": count, "limit": limit });
    let (ruling, reason) = match limit {
        None => (
            Ruling::NotAsked,
            format!("{count} {what}; no limit was set."),
        ),
        Some(limit) if count > limit => (
            Ruling::Fail,
            format!("{count} {what}, more than the {limit} allowed."),
        ),
        Some(limit) => (Ruling::Pass, format!("{count} {what}, {limit} allowed.")),
    };
    let asked = limit.map_or(String::new(), |limit| format!("at most {limit}"));
    finding(name, ruling, reason, figures).against(asked)
}
