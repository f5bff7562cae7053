//! From documents to desired states: computes what the connected agents are to run, gives changed
//! content a new revision, and hands it to their sessions.

use super::{App, Error};
use crate::desired::{Desired, desired};
use crate::documents::Mode;
use crate::model::{Agent, Assignment, Experiment, Identity, NewEvent};
use crate::store::Change;
use phoenix_proto::control as proto;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

impl App {
    /// Recomputes the desired state of these agents (`None`: of all that are connected).
    pub async fn replan(&self, only: Option<&Identity>) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.replan_in_turn(only).await
    }

    pub(super) async fn replan_in_turn(&self, only: Option<&Identity>) -> Result<(), Error> {
        let agents = match only {
            Some(identity) => self.store.agent(identity).await?.into_iter().collect(),
            None => {
                let connected: HashSet<Identity> = self.live.identities().into_iter().collect();
                let mut all = self.store.agents(None).await?;
                all.retain(|a| connected.contains(&a.identity));
                all
            }
        };
        let mut documents = Documents::default();
        let (mut changes, mut events, mut ready) = (Vec::new(), Vec::new(), Vec::new());
        for mut agent in agents {
            let (assignments, experiments) =
                documents.of(self, &agent.identity.tenant).await?;
            let wanted = desired(assignments, experiments, &agent);
            let content = wanted.content();
            if agent.content != content {
                agent.revision += 1;
                agent.content = content;
                events.push(revised(&agent, &wanted));
                changes.push(Change::PutAgent(Box::new(agent.clone())));
            }
            match self.state(&agent, &wanted).await {
                Ok(state) => ready.push((agent.identity, Arc::new(state))),
                // One agent's trouble must not keep the others from their plans.
                Err(error) => tracing::error!(agent = %agent.identity, %error, "no desired state"),
            }
        }
        if !changes.is_empty() {
            self.write(None, changes, events).await?;
        }
        for (identity, state) in ready {
            self.live.send(&identity, state);
        }
        Ok(())
    }

    /// What an agent is to run, with its documents.
    async fn state(&self, agent: &Agent, wanted: &Desired) -> Result<proto::DesiredState, Error> {
        let tenant = &agent.identity.tenant;
        let baseline = match &wanted.baseline {
            Some(hash) => Some(self.text(tenant, hash).await?),
            None => None,
        };
        let experiment = match &wanted.experiment {
            Some(e) => Some(proto::ExperimentAssignment {
                experiment: e.id.clone(),
                experiment_revision: e.revision,
                candidate: Some(self.text(tenant, &e.candidate).await?),
                mode: match e.mode {
                    Mode::Shadow => proto::Mode::Shadow,
                    Mode::Split => proto::Mode::Split,
                }
                .into(),
                entity: e.entity.clone(),
                percent: e.percent,
                window_ms: u32::try_from(e.window_ms).unwrap_or(u32::MAX),
                protect: e.protect.clone(),
                lease_ms: self.timing.lease_ms,
            }),
            None => None,
        };
        Ok(proto::DesiredState {
            store_id: self.meta.store_id.clone(),
            revision: agent.revision,
            fleet_seed: self.meta.fleet_seed,
            baseline,
            experiment,
            bake_ms: self.timing.bake_ms,
        })
    }

    async fn text(&self, tenant: &str, hash: &str) -> Result<proto::Pipeline, Error> {
        let found = self.by_hash(tenant, hash).await?;
        let pipeline = found.ok_or_else(|| Error::NotFound(format!("pipeline {hash}")))?;
        Ok(proto::Pipeline {
            hash: pipeline.hash.clone(),
            name: pipeline.name.clone(),
            document: pipeline.document.clone(),
        })
    }
}

fn revised(agent: &Agent, wanted: &Desired) -> NewEvent {
    NewEvent {
        tenant: agent.identity.tenant.clone(),
        cluster: agent.identity.cluster.clone(),
        node: agent.identity.node.clone(),
        object: format!("agent/{}/{}", agent.identity.cluster, agent.identity.node),
        kind: "agent.desired",
        actor: "server".into(),
        body: json!({
            "revision": agent.revision,
            "baseline": wanted.baseline,
            "candidate": wanted.experiment.as_ref().map(|e| &e.candidate),
            "experiment": wanted.experiment.as_ref().map(|e| &e.id),
        }),
    }
}

/// The documents of the tenants met so far.
#[derive(Default)]
struct Documents(BTreeMap<String, (Vec<Assignment>, Vec<Experiment>)>);

impl Documents {
    async fn of(
        &mut self,
        app: &App,
        tenant: &str,
    ) -> Result<&(Vec<Assignment>, Vec<Experiment>), Error> {
        if !self.0.contains_key(tenant) {
            let assignments = app.store.assignments(tenant).await?;
            let experiments = app.store.experiments(Some(tenant)).await?;
            self.0.insert(tenant.into(), (assignments, experiments));
        }
        // Just inserted when it was missing.
        Ok(self.0.entry(tenant.into()).or_default())
    }
}
