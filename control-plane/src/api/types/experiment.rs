//! Experiments as they are shown.

use super::money::{self, Money};
use super::time;
use crate::app::experiments::{Figures, Gone, Standing, document};
use crate::documents::Step;
use crate::driver::Outlook;
use crate::model::{AgentShare, Experiment, Phase, Witness};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An experiment and where it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentBody {
    pub name: String,
    /// Seeds the split, keys the windows.
    pub id: String,
    pub revision: u64,
    pub phase: Phase,
    /// The present step, or the last one that ran.
    pub step: String,
    pub steps: Vec<StepBody>,
    /// Agents (`tenant/cluster/node`) that run the second arm of the present step.
    pub chosen: Vec<String>,
    /// Why it is in this phase.
    pub reason: String,
    pub created_at: String,
    /// When it began to run.
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// As applied, with defaults filled in.
    pub document: serde_json::Value,
    /// Null before the start, or where nothing is assigned (pass-through).
    pub baseline_hash: Option<String>,
    pub candidate_hash: String,
    /// The assignment that serves the candidate since the promotion.
    pub promoted_to: Option<String>,
    /// It is over, and its agents run the candidate until it is promoted or aborted.
    pub holds: bool,
    /// Outcome, criteria with reasons, savings; null: not judged.
    pub verdict: Option<serde_json::Value>,
    /// What the saving of the verdict is worth in a month, under the goal's price book and under each that
    /// comes with the control plane: estimates by list prices of a date.
    pub money: Vec<Money>,
    /// What of the document is no mistake, and likely not what was meant.
    pub warnings: Vec<String>,
    /// Figures of the comparable windows so far; null: none yet, or not asked for.
    pub live: Option<Figures>,
    /// The agents in scope while it runs; empty in lists.
    pub agents: Vec<StandingBody>,
    pub actor: String,
}

/// How an agent stands to the present step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandingBody {
    /// `tenant/cluster/node`.
    pub agent: String,
    /// `runs`: it says so. `waits`: it is connected and does not run its part (yet). `returning`: the control plane
    /// began anew and it is on its way. `left`: it was told to stop, or had no candidate. `silent`: it had the
    /// candidate and went without a goodbye.
    pub state: &'static str,
    /// `candidate`, `baseline`, `both`, `split`; null: it has no part.
    pub arm: Option<&'static str>,
    /// Of a split: the candidate's share of the entities.
    pub percent: Option<f64>,
    /// Left, silent: when it was last heard of.
    pub since: Option<String>,
    /// Its processes that died with the candidate and were followed by another.
    pub deaths: u32,
    /// Its own word: a lease that lapsed, a candidate that it refused.
    pub says: Option<String>,
}

impl StandingBody {
    fn new(agent: String, stands: &Standing, says: String) -> StandingBody {
        let (state, since) = match stands.gone {
            None if stands.runs => ("runs", None),
            None => ("waits", None),
            Some(Gone::Returning) => ("returning", None),
            Some(Gone::Left(since)) => ("left", Some(since)),
            Some(Gone::Silent(since)) => ("silent", Some(since)),
        };
        let (arm, percent) = arm(stands.share.as_ref());
        StandingBody {
            agent,
            state,
            arm,
            percent,
            since: since.map(time),
            deaths: stands.deaths,
            says: Some(says).filter(|s| !s.is_empty()),
        }
    }
}

/// What a part in a step is called, and the candidate's share in a split.
pub(super) fn arm(share: Option<&AgentShare>) -> (Option<&'static str>, Option<f64>) {
    match share {
        None => (None, None),
        Some(AgentShare::Shadow) => (Some("both"), None),
        Some(AgentShare::Split { entity, percent }) if !entity.is_empty() => {
            (Some("split"), Some(*percent))
        }
        Some(share) if share.has_candidate() => (Some("candidate"), None),
        Some(_) => (Some("baseline"), None),
    }
}

impl ExperimentBody {
    /// The same with what is only known at this moment.
    pub fn with(self, outlook: Outlook) -> ExperimentBody {
        let mut body = self;
        let present = body.steps.iter_mut().find(|s| s.state == "running");
        if let (Some(step), Some(waits)) = (present, outlook.waits) {
            step.reason = Some(waits);
        }
        let agents = outlook.agents.into_iter();
        body.agents = agents
            .map(|(agent, stands, says)| StandingBody::new(agent, &stands, says))
            .collect();
        body
    }

    pub fn new(e: Experiment, live: Option<Figures>) -> ExperimentBody {
        ExperimentBody {
            document: document(&e),
            steps: steps(&e),
            money: e.verdict.as_ref().map(money::of).unwrap_or_default(),
            warnings: warnings(&e),
            name: e.name,
            id: e.id,
            revision: e.revision,
            phase: e.phase,
            step: e.step,
            chosen: e.chosen,
            reason: e.reason,
            created_at: time(e.created_ms),
            started_at: e.started_ms.map(time),
            ended_at: e.ended_ms.map(time),
            baseline_hash: e.baseline_hash,
            candidate_hash: e.candidate_hash,
            promoted_to: e.promoted_to,
            holds: e.holds,
            verdict: e.verdict,
            live,
            agents: Vec::new(),
            actor: e.actor,
        }
    }
}

fn warnings(e: &Experiment) -> Vec<String> {
    let found = e.spec.warnings().into_iter();
    found
        .map(|p| format!("{}: {}", p.path, p.message))
        .collect()
}

/// How to promote.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromoteRequest {
    /// Also with an inconclusive verdict, or where its baseline is not what is assigned any more; never with a rejection.
    pub force: bool,
}

/// Why it is aborted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AbortRequest {
    pub reason: Option<String>,
}

/// What an abort did.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AbortBody {
    pub experiment: ExperimentBody,
    /// One sentence.
    pub did: String,
    /// False: there was nothing to take back.
    pub changed: bool,
}

/// A step of an experiment and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepBody {
    /// `lint`, `replay`, `aa`, `shadow`, `ramp 25%`, `bake`.
    pub step: String,
    /// `pending`, `running`, `passed`, `stopped`.
    pub state: &'static str,
    /// Keys its windows; null: it has not begun.
    pub revision: Option<u64>,
    /// Comparable windows that its verdict needs.
    pub min_windows: u32,
    /// It lasts at least so long.
    pub dwell_ms: u64,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// Why it ended so; of the one that runs, what it waits for (left out in lists).
    pub reason: Option<String>,
    /// The judge's answer; null: not judged.
    pub verdict: Option<serde_json::Value>,
    /// What the backend tells that the document names; null: none is named, or it was not asked yet.
    pub witness: Option<Witness>,
}

/// All steps, those to come too.
fn steps(e: &Experiment) -> Vec<StepBody> {
    let course = e.spec.course();
    let step = |(at, step): (usize, &Step)| {
        let ended = e.results.iter().find(|r| r.at == at);
        let present = at == e.at && e.phase != Phase::Pending && ended.is_none();
        let revision = ended.map(|r| r.revision).or(present.then_some(e.revision));
        let mut heard = e.witness.iter();
        StepBody {
            step: step.name.clone(),
            state: match ended {
                Some(r) if r.passed => "passed",
                Some(_) => "stopped",
                None if present && e.phase.is_active() => "running",
                None if present => "stopped",
                None => "pending",
            },
            revision,
            witness: heard.find(|w| Some(w.revision) == revision).cloned(),
            min_windows: step.min_windows,
            dwell_ms: step.dwell_ms,
            started_at: match ended {
                Some(r) => Some(time(r.started_ms)),
                None if present => e.step_started_ms.map(time),
                None => None,
            },
            ended_at: ended.map(|r| time(r.ended_ms)),
            reason: ended.map(|r| r.reason.clone()),
            verdict: ended.and_then(|r| r.verdict.clone()),
        }
    };
    course.iter().enumerate().map(step).collect()
}
