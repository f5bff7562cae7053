//! Agents as they are shown.

use super::quarantine::why;
use super::{ProblemBody, time};
use crate::app::AgentView;
use crate::model::Quarantine;
use phoenix_proto::control as proto;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An agent: what it is to run, what it runs, and its last heartbeat.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentBody {
    pub tenant: String,
    pub cluster: String,
    pub node: String,
    pub labels: BTreeMap<String, String>,
    pub version: String,
    pub connected: bool,
    pub incarnation: String,
    /// Of the desired state.
    pub revision: u64,
    /// Of the desired state that the agent last answered to.
    pub reported_revision: u64,
    /// The agent's own count of plan swaps.
    pub generation: u64,
    /// `validated`, `active`, `healthy`, `rejected`, `rolled-back`, `unproven`; null: not said yet.
    pub state: Option<String>,
    /// The pipeline that `state` is about.
    pub hash: Option<String>,
    /// What runs; null: pass-through, or not said yet.
    pub active_hash: Option<String>,
    /// What it is to run; null: nothing is assigned.
    pub desired_hash: Option<String>,
    /// What the assignment says, also where the agent refused it.
    pub assigned_hash: Option<String>,
    /// Why that is quarantined: it was assigned before; null: it is not.
    pub assigned_quarantined: Option<String>,
    pub candidate_hash: Option<String>,
    /// Name of the experiment whose candidate runs (its id where the name is gone).
    pub experiment: Option<String>,
    /// Its part in that: `candidate` or `baseline` for everything in scope, `both` (shadow), `split`.
    pub arm: Option<&'static str>,
    /// Of a split: the candidate's share of the entities.
    pub percent: Option<f64>,
    pub problems: Vec<ProblemBody>,
    pub reason: String,
    pub quarantine: Vec<QuarantinedBody>,
    /// Sessions closed because a second one came for this identity.
    pub superseded: u64,
    pub first_seen: String,
    pub last_seen: String,
    /// While connected.
    pub heartbeat: Option<HeartbeatBody>,
}

/// A pipeline that this agent refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinedBody {
    pub hash: String,
    /// `rejected`, `rolled-back`, `unproven`.
    pub state: String,
    pub reason: String,
    /// False: it is still being tried.
    pub barred: bool,
}

/// Counters since the agent's process started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatBody {
    pub ledger: LedgerBody,
    /// Series that spoke in the last full minute; null: not known.
    pub series: Option<u64>,
    pub series_out: Option<u64>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub requests_refused: u64,
    pub queue_bytes: u64,
    pub rss_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub uptime_ms: u64,
    pub generation: u64,
}

/// Points: `received = exported + filtered + merged + sampled_out + suppressed + rejected + dropped + held`.
#[derive(Debug, Serialize, ToSchema)]
pub struct LedgerBody {
    pub received: u64,
    pub exported: u64,
    pub filtered: u64,
    pub merged: i64,
    pub sampled_out: u64,
    pub suppressed: u64,
    pub rejected: u64,
    /// By reason.
    pub dropped: BTreeMap<String, u64>,
    pub held: i64,
}

impl From<proto::Ledger> for LedgerBody {
    fn from(l: proto::Ledger) -> Self {
        LedgerBody {
            received: l.received,
            exported: l.exported,
            filtered: l.filtered,
            merged: l.merged,
            sampled_out: l.sampled_out,
            suppressed: l.suppressed,
            rejected: l.rejected,
            dropped: l.dropped.into_iter().collect(),
            held: l.held,
        }
    }
}

impl From<proto::Heartbeat> for HeartbeatBody {
    fn from(h: proto::Heartbeat) -> Self {
        HeartbeatBody {
            ledger: h.ledger.unwrap_or_default().into(),
            series: h.series,
            series_out: h.series_out,
            bytes_in: h.bytes_in,
            bytes_out: h.bytes_out,
            requests_refused: h.requests_refused,
            queue_bytes: h.queue_bytes,
            rss_bytes: h.rss_bytes,
            cpu_seconds: h.cpu_seconds,
            uptime_ms: h.uptime_ms,
            generation: h.generation,
        }
    }
}

impl AgentBody {
    /// `experiments`: names by id. `barred`: what is quarantined.
    pub fn new(
        view: AgentView,
        experiments: &BTreeMap<String, String>,
        barred: &[Quarantine],
    ) -> AgentBody {
        let (arm, percent) = super::experiment::arm(view.share.as_ref());
        let agent = view.agent;
        let status = agent.status;
        AgentBody {
            tenant: agent.identity.tenant,
            cluster: agent.identity.cluster,
            node: agent.identity.node,
            labels: agent.labels,
            version: agent.version,
            connected: view.connected,
            incarnation: agent.incarnation,
            revision: agent.revision,
            reported_revision: status.revision,
            generation: status.generation,
            state: said(status.state),
            hash: said(status.hash),
            active_hash: said(status.active_hash),
            desired_hash: view.desired_hash,
            assigned_quarantined: why(barred, view.assigned_hash.as_deref()),
            assigned_hash: view.assigned_hash,
            candidate_hash: said(status.candidate_hash),
            experiment: said(status.experiment)
                .map(|id| experiments.get(&id).cloned().unwrap_or(id)),
            arm,
            percent,
            problems: status.problems.into_iter().map(Into::into).collect(),
            reason: status.reason,
            quarantine: agent
                .quarantine
                .into_iter()
                .map(|q| QuarantinedBody {
                    barred: q.barred(),
                    hash: q.hash,
                    state: q.state,
                    reason: q.reason,
                })
                .collect(),
            superseded: agent.superseded,
            first_seen: time(agent.first_seen_ms),
            last_seen: time(view.last_seen_ms),
            heartbeat: view.heartbeat.map(Into::into),
        }
    }
}

fn said(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}
