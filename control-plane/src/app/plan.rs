//! From documents to desired states: computes what the connected agents are to run, gives changed
//! content a new revision, and hands it to their sessions.

use super::{App, Error};
use crate::desired::{Desired, DesiredExperiment, desired};
use crate::model::{Agent, AgentShare, Identity, NewEvent};
use crate::store::Change;
use futures_util::stream::{self, StreamExt};
use phoenix_proto::control as proto;
use serde_json::json;
use std::sync::Arc;

/// Agents worked on at once: their writes go to the disk together.
const AT_ONCE: usize = 128;

impl App {
    /// Recomputes the desired state of all connected agents. One agent's trouble does not keep the
    /// others from their plans; false: some could not be served.
    pub async fn replan_all(&self) -> bool {
        stream::iter(self.live.identities())
            .map(|identity| async move {
                match self.replan(&identity).await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::error!(agent = %identity, %error, "no desired state");
                        false
                    }
                }
            })
            .buffer_unordered(AT_ONCE)
            .fold(true, |all, one| async move { all && one })
            .await
    }

    /// Recomputes the desired state of an agent.
    pub async fn replan(&self, identity: &Identity) -> Result<(), Error> {
        let _lane = self.lane(identity).await;
        match self.store.agent(identity).await? {
            Some(agent) => self.plan(agent).await,
            None => Ok(()),
        }
    }

    /// Within the agent's lane: a new revision where the content changed, and off to its session.
    pub(super) async fn plan(&self, mut agent: Agent) -> Result<(), Error> {
        let documents = self.current(&agent.identity.tenant).await?;
        let wanted = desired(&documents.assignments, &documents.experiments, &agent);
        let content = wanted.content();
        let changed = agent.content != content;
        agent.revision += u64::from(changed);
        let state = self.state(&agent, &wanted).await?;
        if changed {
            agent.content = content;
            let told = revised(&agent, &wanted);
            let change = Change::PutAgent(Box::new(agent.clone()));
            self.write(None, vec![change], vec![told]).await?;
        }
        self.live.send(&agent.identity, Arc::new(state));
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
            Some(e) => {
                let candidate = self.text(tenant, &e.candidate).await?;
                Some(assignment(e, candidate, self.timing.lease_ms))
            }
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

fn assignment(
    e: &DesiredExperiment,
    candidate: proto::Pipeline,
    lease_ms: u32,
) -> proto::ExperimentAssignment {
    let (mode, entity, percent) = match &e.share {
        AgentShare::Shadow => (proto::Mode::Shadow, Vec::new(), 0.0),
        AgentShare::Split { entity, percent } => (proto::Mode::Split, entity.clone(), *percent),
    };
    proto::ExperimentAssignment {
        experiment: e.id.clone(),
        experiment_revision: e.revision,
        candidate: Some(candidate),
        mode: mode.into(),
        entity,
        percent,
        window_ms: u32::try_from(e.window_ms).unwrap_or(u32::MAX),
        protect: e.protect.clone(),
        queries: e.queries.clone(),
        query_volume: e.query_volume,
        lease_ms,
        scope: e.scope.clone(),
        guardrails: Some(proto::Guardrails {
            max_memory_ratio: e.guardrails.max_memory_ratio,
            max_memory_bytes: e.guardrails.max_memory_bytes,
            max_added_latency_ns: e.guardrails.max_added_latency_ns,
            protected_retention: e.guardrails.protected_retention,
            max_export_errors: e.guardrails.max_export_errors,
            end_if_refused: e.guardrails.end_if_refused,
        }),
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
