//! Experiments: documents, phases, windows, promotion. The driver decides; this writes.

mod abort;
mod divide;
mod evidence;
mod figures;
mod lifecycle;
mod lint;
mod promote;
mod standing;
mod windows;
mod witness;

pub use abort::Aborted;
pub use figures::{ArmFigures, Figures, figures};
pub use lifecycle::baseline_of;
pub use standing::{Gone, RETURN_MS, Standing, standing};

use super::{App, Caller, Error, event};
use crate::desired::labels;
use crate::documents::{ExperimentSpec, parse_experiment};
use crate::model::{Agent, Assignment, Experiment, NewEvent, Phase};
use crate::store::Change;
use serde_json::json;

const WHAT: &str = "the experiment";

/// An agent that an experiment's selector matches.
#[derive(Debug, Clone)]
pub struct Member {
    pub agent: Agent,
    pub connected: bool,
}

impl App {
    /// Makes an experiment, changes one that has not started, or makes a new run of one that ended.
    /// True: it is new.
    pub async fn put_experiment(
        &self,
        caller: &Caller,
        name: &str,
        text: &str,
    ) -> Result<(Experiment, bool), Error> {
        let mut document = parse_experiment(text).map_err(|problems| Error::Invalid {
            what: WHAT,
            problems,
        })?;
        document.spec = document.spec.settled();
        if document.metadata.name != name {
            return Err(Error::invalid(
                WHAT,
                "metadata.name",
                format!(
                    "{:?} where the address says {name:?}",
                    document.metadata.name
                ),
            ));
        }
        let _turn = self.turn.lock().await;
        let all = self.store.experiments(Some(&caller.tenant)).await?;
        let old = all.iter().find(|e| e.name == name);
        if let Some(old) = old.filter(|e| e.is_live()) {
            if old.spec.reads_as(&document.spec) {
                return Ok((old.clone(), false));
            }
            return Err(Error::refused(
                "experiment-running",
                match old.holds {
                    true => format!(
                        "experiment {name} holds the candidate: promote or abort it before it is changed"
                    ),
                    false => format!(
                        "experiment {name} is {} (step {}): an experiment that runs is not changed, abort \
                         it first",
                        old.phase.name(),
                        old.step
                    ),
                },
            ));
        }
        if let Some(same) = old.filter(|e| e.phase == Phase::Pending && e.spec == document.spec) {
            return Ok((same.clone(), false));
        }
        let new = self.fresh(caller, name, document.spec, old).await?;
        let created = event(
            caller,
            format!("experiment/{name}"),
            if old.is_none() {
                "experiment.created"
            } else {
                "experiment.changed"
            },
            json!({ "id": new.id, "candidate": new.candidate_hash, "baseline": new.baseline_hash }),
        );
        let change = Change::PutExperiment(new.clone());
        self.write(None, vec![change], vec![created]).await?;
        Ok((
            Experiment {
                row: new.row + 1,
                ..new
            },
            old.is_none(),
        ))
    }

    /// A pending experiment whose pipelines exist.
    async fn fresh(
        &self,
        caller: &Caller,
        name: &str,
        spec: ExperimentSpec,
        old: Option<&Experiment>,
    ) -> Result<Experiment, Error> {
        let candidate = self
            .existing(caller, "spec.candidate", &spec.candidate)
            .await?;
        let baseline = match &spec.baseline {
            Some(reference) => Some(self.existing(caller, "spec.baseline", reference).await?),
            None => None,
        };
        self.refuse_quarantined(&caller.tenant, &candidate).await?;
        if baseline.is_some() {
            self.check_split(&caller.tenant, &spec, baseline.as_deref(), &candidate)
                .await?;
        }
        let now = self.now_ms();
        Ok(Experiment {
            tenant: caller.tenant.clone(),
            name: name.into(),
            id: uuid::Uuid::new_v4().to_string(),
            revision: old.map_or(0, |e| e.revision),
            row: old.map_or(0, |e| e.row),
            step: spec
                .course()
                .first()
                .map(|s| s.name.clone())
                .unwrap_or_default(),
            at: 0,
            chosen: Vec::new(),
            chosen_all: false,
            results: Vec::new(),
            step_started_ms: None,
            spec,
            phase: Phase::Pending,
            reason: "not started".into(),
            baseline_hash: baseline,
            assigned: Default::default(),
            candidate_hash: candidate,
            created_ms: now,
            phase_ms: now,
            started_ms: None,
            ended_ms: None,
            promoted_to: None,
            taken_back: false,
            holds: false,
            verdict: None,
            witness: Vec::new(),
            memory: serde_json::Value::Null,
            actor: caller.actor.clone(),
        })
    }

    async fn existing(
        &self,
        caller: &Caller,
        path: &str,
        reference: &str,
    ) -> Result<String, Error> {
        match self.resolve(&caller.tenant, reference).await? {
            Some(pipeline) => Ok(pipeline.hash.clone()),
            None => Err(Error::invalid(
                WHAT,
                path,
                format!("there is no pipeline {reference:?}: apply it first"),
            )),
        }
    }

    /// By name.
    pub async fn experiments(&self, tenant: &str) -> Result<Vec<Experiment>, Error> {
        Ok(self.store.experiments(Some(tenant)).await?)
    }

    /// Of all tenants: what the driver looks after.
    pub async fn active_experiments(&self) -> Result<Vec<Experiment>, Error> {
        let mut all = self.store.experiments(None).await?;
        all.retain(Experiment::is_live);
        Ok(all)
    }

    pub async fn experiment(&self, tenant: &str, name: &str) -> Result<Experiment, Error> {
        self.store
            .experiment(tenant, name)
            .await?
            .ok_or_else(|| Error::NotFound(format!("experiment {name}")))
    }

    /// The known agents that the selector matches, connected or not.
    pub async fn members(&self, experiment: &Experiment) -> Result<Vec<Member>, Error> {
        let agents = self.store.agents(Some(&experiment.tenant)).await?;
        Ok(agents
            .into_iter()
            .filter(|a| experiment.spec.scope.selector.matches(&labels(a)))
            .map(|agent| Member {
                connected: self.live.connected(&agent.identity),
                agent,
            })
            .collect())
    }

    /// What the agents of an experiment run without it, in words.
    pub async fn without(&self, e: &Experiment) -> Result<&'static str, Error> {
        let assignments = self.store.assignments(&e.tenant).await?;
        let agents = self.store.agents(Some(&e.tenant)).await?;
        Ok(match baseline_of(e, &assignments, &agents) {
            Ok(hash) if hash == e.baseline_hash => "the baseline",
            Ok(Some(hash)) if hash == e.candidate_hash => "the candidate, which is assigned",
            _ => "what is assigned",
        })
    }

    /// What is assigned now.
    pub async fn current_assignments(&self, tenant: &str) -> Result<Vec<Assignment>, Error> {
        Ok(self.store.assignments(tenant).await?)
    }

    /// Removes an experiment that does not run, with its windows.
    pub async fn delete_experiment(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let experiment = self.experiment(&caller.tenant, name).await?;
        if experiment.is_live() {
            return Err(Error::refused(
                "experiment-running",
                format!(
                    "experiment {name} is {}{}: abort it first",
                    experiment.phase.name(),
                    if experiment.holds {
                        " and holds the candidate"
                    } else {
                        ""
                    }
                ),
            ));
        }
        let deleted: NewEvent = event(
            caller,
            format!("experiment/{name}"),
            "experiment.deleted",
            json!({ "id": experiment.id }),
        );
        let change = Change::DropExperiment(experiment);
        self.write(None, vec![change], vec![deleted]).await
    }
}

/// The document as applied, with defaults filled in.
pub fn document(e: &Experiment) -> serde_json::Value {
    json!({
        "apiVersion": "phoenix/v1",
        "kind": "Experiment",
        "metadata": { "name": e.name },
        "spec": e.spec,
    })
}

/// An agent is in one experiment at a time: those that run count.
fn refuse_overlap(all: &[Experiment], name: &str, spec: &ExperimentSpec) -> Result<(), Error> {
    let other = all.iter().find(|e| {
        let selector = &e.spec.scope.selector;
        e.name != name && e.is_live() && selector.overlaps(&spec.scope.selector)
    });
    match other {
        None => Ok(()),
        Some(other) => Err(Error::refused(
            "experiment-overlap",
            format!(
                "experiment {} {} and can have the same agents: wait for its end, abort it, or write \
                 selectors that a label tells apart",
                other.name,
                if other.holds {
                    "holds its candidate"
                } else {
                    "runs"
                }
            ),
        )),
    }
}
