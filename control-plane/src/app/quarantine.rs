//! Pipelines that did harm: no agent of the tenant gets them again until a person lifts them.

use super::{App, Caller, Error, event};
use crate::model::{Experiment, NewEvent, Phase, PhaseChange, Quarantine};
use crate::store::Change;
use serde_json::json;

impl App {
    /// By time.
    pub async fn quarantine(&self, tenant: &str) -> Result<Vec<Quarantine>, Error> {
        Ok(self.store.quarantine(tenant).await?)
    }

    /// Refuses a pipeline that is quarantined, with what it did and the way out.
    pub(super) async fn refuse_quarantined(&self, tenant: &str, hash: &str) -> Result<(), Error> {
        let all = self.store.quarantine(tenant).await?;
        let Some(found) = all.iter().find(|q| q.hash == hash) else {
            return Ok(());
        };
        Err(Error::refused(
            "quarantined",
            format!(
                "pipeline {} ({}) is quarantined since experiment {} found harm: {} Change it, or lift \
                 it with `phoenix quarantine lift {}`",
                found.pipeline,
                short(hash),
                found.experiment,
                sentence(&found.reason),
                short(hash),
            ),
        ))
    }

    /// The rows and the events that bar the candidate of an experiment, for every other that runs or holds it too.
    pub(super) async fn bar(
        &self,
        caller: &Caller,
        e: &Experiment,
        reason: String,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<(), Error> {
        let pipeline = self.by_hash(&e.tenant, &e.candidate_hash).await?;
        let new = Quarantine {
            tenant: e.tenant.clone(),
            hash: e.candidate_hash.clone(),
            pipeline: pipeline.map_or_else(|| e.spec.candidate.clone(), |p| p.name.clone()),
            reason,
            experiment: e.name.clone(),
            experiment_id: e.id.clone(),
            actor: caller.actor.clone(),
            time_ms: self.now_ms(),
        };
        events.push(event(
            caller,
            format!("pipeline/{}", new.pipeline),
            "pipeline.quarantined",
            json!({ "hash": new.hash, "reason": new.reason, "experiment": new.experiment }),
        ));
        changes.push(Change::PutQuarantine(new));
        let all = self.store.experiments(Some(&e.tenant)).await?;
        let others = all.into_iter().filter(|other| {
            other.name != e.name && other.is_live() && other.candidate_hash == e.candidate_hash
        });
        for other in others {
            let change = PhaseChange {
                // One that holds has its verdict.
                phase: other.phase.is_active().then_some(Phase::Cancelled),
                reason: format!(
                    "its candidate was quarantined: experiment {} found harm",
                    e.name
                ),
                ..PhaseChange::default()
            };
            let (new, told) = self.phased(caller, other, change);
            changes.push(Change::PutExperiment(new));
            events.push(told);
        }
        Ok(())
    }

    /// Lets a pipeline (its hash, the beginning of it, or its name where that says which) be tried again, also
    /// by the agents that fell back from it.
    pub async fn lift(&self, caller: &Caller, which: &str) -> Result<Quarantine, Error> {
        let _turn = self.turn.lock().await;
        let all = self.store.quarantine(&caller.tenant).await?;
        let meant =
            |q: &Quarantine| q.pipeline == which || (which.len() >= 6 && q.hash.starts_with(which));
        let mut found: Vec<Quarantine> = all.into_iter().filter(meant).collect();
        let lifted = match (found.pop(), found.as_slice()) {
            (Some(one), []) => one,
            (Some(one), more) => {
                let hashes = more.iter().chain([&one]).map(|q| short(&q.hash));
                let hashes: Vec<&str> = hashes.collect();
                return Err(Error::refused(
                    "ambiguous-pipeline",
                    format!("{which} is several: write one of {}", hashes.join(", ")),
                ));
            }
            (None, _) => {
                return Err(Error::NotFound(format!(
                    "quarantined pipeline of the name {which:?}, nor one whose hash begins so (6 digits or \
                     more): `phoenix quarantine list` shows them"
                )));
            }
        };
        // The agents first: were this to end in between, it could be said again.
        for agent in self.store.agents(Some(&caller.tenant)).await? {
            if agent.quarantine.iter().any(|q| q.hash == lifted.hash) {
                self.forgive(caller, &agent.identity, &lifted.hash).await?;
            }
        }
        let told = event(
            caller,
            format!("pipeline/{}", lifted.pipeline),
            "pipeline.lifted",
            json!({ "hash": lifted.hash, "experiment": lifted.experiment }),
        );
        let change = Change::DropQuarantine {
            tenant: caller.tenant.clone(),
            hash: lifted.hash.clone(),
        };
        self.write(None, vec![change], vec![told]).await?;
        Ok(lifted)
    }
}

/// The digits by which people name a hash.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn sentence(text: &str) -> String {
    match text.ends_with('.') {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}
