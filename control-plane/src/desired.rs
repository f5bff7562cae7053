//! What an agent is to run: a pure function of the documents and of what is known of the agent.

mod choose;

pub use choose::choose;

use crate::documents::{Kind, Share, Span, Step};
use crate::model::{Agent, AgentShare, Assignment, Experiment, Identity, Phase};
use phoenix_analysis::query::Asked;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What an agent is to run, by hash.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// `None`: nothing is assigned, the agent passes everything through.
    pub baseline: Option<String>,
    pub experiment: Option<DesiredExperiment>,
    /// Boots that found the plan unproven: sent again, under a new revision.
    pub attempt: u32,
}

/// The second arm.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredExperiment {
    pub id: String,
    pub revision: u64,
    pub candidate: String,
    pub share: AgentShare,
    pub window_ms: u64,
    /// JSON array of matchers.
    pub protect: String,
    /// JSON of what is evaluated on both arms' outputs; empty: nothing.
    pub queries: String,
    /// What they wrote is counted as well.
    pub query_volume: bool,
    /// JSON array of matchers; empty: every metric.
    pub scope: String,
    pub guardrails: Rails,
}

/// What the agent watches by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rails {
    pub max_memory_ratio: Option<f64>,
    pub max_memory_bytes: Option<u64>,
    pub max_added_latency_ns: Option<u64>,
    pub protected_retention: Option<f64>,
    pub max_export_errors: Option<u64>,
    pub end_if_refused: bool,
}

/// The labels that selectors see: the agent's own, and its node and cluster.
pub fn labels(agent: &Agent) -> BTreeMap<String, String> {
    selectable(&agent.identity, &agent.labels)
}

/// As `labels`, before the agent is known to the store.
pub fn selectable(
    identity: &Identity,
    labels: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = labels.clone();
    all.insert("phoenix.node".into(), identity.node.clone());
    all.insert("phoenix.cluster".into(), identity.cluster.clone());
    all
}

/// The assignment that serves an agent: the highest priority among those that match.
pub fn assigned<'a>(
    assignments: &'a [Assignment],
    tenant: &str,
    labels: &BTreeMap<String, String>,
) -> Option<&'a Assignment> {
    assignments
        .iter()
        .filter(|a| a.tenant == tenant && a.spec.selector.matches(labels))
        .max_by_key(|a| a.spec.priority)
}

/// Another assignment of the same priority that some agent could match as well.
pub fn tie<'a>(assignments: &'a [Assignment], new: &Assignment) -> Option<&'a Assignment> {
    assignments.iter().find(|a| {
        a.tenant == new.tenant
            && a.name != new.name
            && a.spec.priority == new.spec.priority
            && a.spec.selector.overlaps(&new.spec.selector)
    })
}

/// What this agent is to run.
///
/// A pipeline that the agent refused is not sent again: until the assignment changes it is asked
/// to keep what it last proved healthy.
pub fn desired(assignments: &[Assignment], experiments: &[Experiment], agent: &Agent) -> Desired {
    let labels = labels(agent);
    let tenant = &agent.identity.tenant;
    let experiment = experiments.iter().find(|e| {
        // Initializing waits for the agents to take the candidate, so they are given it.
        e.tenant == *tenant
            && (e.holds || matches!(e.phase, Phase::Initializing | Phase::Running))
            && e.spec.scope.selector.matches(&labels)
    });
    let mut wanted = assigned(assignments, tenant, &labels).map(|a| a.hash.clone());
    if let Some(e) = experiment.filter(|e| e.spec.baseline.is_some()) {
        wanted = e.baseline_hash.clone();
    }
    let baseline = match wanted {
        Some(hash) if barred(agent, &hash) => agent
            .healthy_hash
            .clone()
            .filter(|healthy| !barred(agent, healthy)),
        other => other,
    };
    let experiment = experiment
        .filter(|e| e.baseline_hash == baseline)
        .and_then(|e| second_arm(e, agent));
    let attempt = agent
        .quarantine
        .iter()
        .filter(|q| q.state == "unproven" && Some(&q.hash) == baseline.as_ref())
        .map(|q| q.boots)
        .sum();
    Desired {
        baseline,
        experiment,
        attempt,
    }
}

fn second_arm(e: &Experiment, agent: &Agent) -> Option<DesiredExperiment> {
    let step = e.current()?;
    let share = e.share_of(&step, &agent.identity)?;
    let candidate = e.second(&step).filter(|hash| !barred(agent, hash))?;
    // Compared where both arms see everything; with a second account arm by arm, wherever there are two.
    let asked = match share {
        AgentShare::Split { .. } if e.spec.prometheus.is_none() => Asked::default(),
        _ => e.spec.asked(),
    };
    Some(DesiredExperiment {
        id: e.id.clone(),
        revision: e.revision,
        candidate: candidate.into(),
        queries: asked.for_agents(),
        query_volume: asked.inner.volume,
        // A node that runs the baseline alone would blame the candidate for what it does not do.
        guardrails: match share.has_candidate() {
            true => rails_of(e, &step),
            false => Rails::default(),
        },
        share,
        window_ms: e.spec.window.0,
        protect: serde_json::Value::Array(e.spec.guardrails.protect.clone()).to_string(),
        scope: match e.spec.scope.metrics.as_slice() {
            [] => String::new(),
            some => serde_json::Value::Array(some.to_vec()).to_string(),
        },
    })
}

fn rails_of(e: &Experiment, step: &Step) -> Rails {
    let rails = &e.spec.guardrails;
    // Where other agents run the baseline alone, the judge compares.
    let alone = match step.share {
        Share::Everything | Share::Entities { .. } => true,
        Share::Nodes(_) | Share::Both { .. } => e.chosen_all,
        Share::Nothing | Share::Shadow => false,
    };
    let nanos = |span: Span| span.0.saturating_mul(1_000_000);
    Rails {
        max_memory_ratio: rails.max_rss_ratio,
        max_memory_bytes: rails.max_rss.map(|bytes| bytes.0),
        max_added_latency_ns: rails.max_added_latency.map(nanos),
        protected_retention: Some(rails.protected_retention.0),
        max_export_errors: rails.max_export_errors.limit(),
        end_if_refused: rails.max_export_errors.is_compared() && alone && step.kind != Kind::Aa,
    }
}

fn barred(agent: &Agent, hash: &str) -> bool {
    agent
        .quarantine
        .iter()
        .any(|q| q.hash == hash && q.barred())
}

impl Desired {
    /// Fingerprint of the content: when it changes, the agent's revision grows.
    pub fn content(&self) -> String {
        let text = format!("{self:?}");
        let mut out = String::with_capacity(64);
        for byte in Sha256::digest(text.as_bytes()) {
            let _ = write!(out, "{byte:02x}");
        }
        out
    }
}

#[cfg(test)]
#[path = "desired/tests.rs"]
mod tests;
