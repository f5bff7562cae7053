//! Agents whose process ended without a goodbye while it had the candidate: killed, out of memory, or gone
//! with its node. Nobody saw the reason, so one death is a question; the same agent again and again is an answer.

use super::finding::finding;
use super::select::Selection;
use crate::criteria::{Criteria, Died};
use crate::verdict::{Criterion, Ruling};
use serde_json::json;
use std::collections::BTreeMap;

/// Silent: unknown until it is back. Died: unknown until it has run the candidate for `minWindows` since.
pub fn agents(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let Some(died) = &criteria.died else {
        let reason = "Whether an agent died with the candidate is not known.".into();
        return finding("agents", Ruling::NotAsked, reason, json!({}));
    };
    let since = |agent: &str, died: &Died| {
        let windows = selection.comparable();
        let after = windows.filter(|w| w.agent == agent && w.start_ms >= died.last_ms);
        after.count() as u64
    };
    let silent: Vec<&str> = those(died, |d| d.away);
    let figures = json!({
        "silent": silent, "allowedSilent": criteria.guardrails.max_silent,
        "deaths": died.iter().map(|(a, d)| (a, d.times)).filter(|(_, n)| *n > 0).collect::<BTreeMap<_, _>>(),
    });
    let often = died.iter().find(|(_, d)| d.times > Died::MOST);
    let least = u64::from(criteria.min_windows);
    let waited = died
        .iter()
        .filter(|(_, d)| !d.away)
        .map(|(agent, d)| (agent, ended(d), since(agent, d)))
        .find(|(_, _, windows)| *windows < least);
    let (ruling, reason) = if let Some((agent, d)) = often {
        (
            Ruling::Harm,
            format!("{agent} died {} times while it had the candidate.", d.times),
        )
    } else if silent.len() as u64 > criteria.guardrails.max_silent {
        (
            Ruling::Unknown,
            format!(
                "{} had the candidate and fell silent: it may have died of it.",
                silent.join(", ")
            ),
        )
    } else if let Some((agent, how, windows)) = waited {
        (
            Ruling::Unknown,
            format!("{agent} {how}; {windows} comparable windows since, {least} are asked for."),
        )
    } else if died.is_empty() {
        let reason = "No agent died while it had the candidate.".to_string();
        (Ruling::Pass, reason)
    } else {
        let back = died.iter().filter(|(_, d)| !d.away);
        let mut told: Vec<String> = back
            .map(|(agent, d)| format!("{agent} {} and runs it again", ended(d)))
            .collect();
        if !silent.is_empty() {
            told.push(format!(
                "{} fell silent, which is allowed",
                silent.join(", ")
            ));
        }
        (Ruling::Pass, format!("{}.", told.join("; ")))
    };
    finding("agents", ruling, reason, figures).against(format!(
        "none dies more than {} times, at most {} silent",
        Died::MOST,
        criteria.guardrails.max_silent
    ))
}

fn ended(died: &Died) -> &'static str {
    match died.times {
        0 => "ended unseen while it may have had the candidate",
        _ => "died while it had the candidate",
    }
}

fn those(died: &BTreeMap<String, Died>, which: impl Fn(&Died) -> bool) -> Vec<&str> {
    let all = died.iter().filter(|(_, d)| which(d));
    all.map(|(agent, _)| agent.as_str()).collect()
}
