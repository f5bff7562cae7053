//! Agents: enrolment, what they say of themselves, and what is shown of them.

mod deaths;

use super::live::Session;
use super::{App, Caller, Error};
use crate::auth;
use crate::desired::desired;
use crate::model::{Agent, AgentShare, AgentStatus, Identity, NewEvent, Quarantined};
use crate::store::Change;
use phoenix_engine::document::Problem;
use phoenix_proto::control as proto;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An agent as it is shown: what is stored and what is only known while it is connected.
#[derive(Debug, Clone)]
pub struct AgentView {
    pub agent: Agent,
    pub connected: bool,
    pub last_seen_ms: u64,
    /// What it is to run now.
    pub desired_hash: Option<String>,
    /// Of the assignment, even where the agent refused it.
    pub assigned_hash: Option<String>,
    /// Its part in the experiment that it says it runs.
    pub share: Option<AgentShare>,
    pub heartbeat: Option<proto::Heartbeat>,
}

impl App {
    /// Gives an identity its credential, once. A credential that no session ever used may be given
    /// again: its answer was lost.
    pub async fn enrol(&self, identity: &Identity, version: &str) -> Result<String, Error> {
        let _lane = self.lane(identity).await;
        let used = self.store.agent(identity).await?.is_some();
        if used && self.store.credential(identity).await?.is_some() {
            return Err(Error::refused(
                "already-enrolled",
                format!(
                    "{identity} has a credential: give the agent its state folder back, \
                     or delete the agent"
                ),
            ));
        }
        let credential = auth::new_token();
        let change = Change::PutCredential {
            identity: identity.clone(),
            hash: auth::digest(&credential),
        };
        let enrolled = about(identity, "agent.enrolled", json!({ "version": version }));
        self.write(None, vec![change], vec![enrolled]).await?;
        Ok(credential)
    }

    /// Whose credential this is.
    pub async fn authenticate(&self, credential: &str) -> Result<Option<Identity>, Error> {
        let digest = auth::digest(credential);
        Ok(self.store.credential_owner(&digest).await?)
    }

    /// An agent said hello: opens its session and, unless it is `unsettled`, works out what it is
    /// to run.
    pub async fn connected(
        &self,
        identity: &Identity,
        hello: &proto::Hello,
    ) -> Result<Session, Error> {
        let _lane = self.lane(identity).await;
        let now = self.now_ms();
        // Of the session that this one may take the place of.
        let heard = self.live.last(identity).map(|(_, seen)| seen);
        let mut session = self.live.open(identity, now);
        let times = (heard, now);
        match self.greet(identity, hello, session.superseded, times).await {
            Ok(unsettled) => session.unsettled = unsettled,
            Err(e) => {
                self.live.closed(identity, session.id);
                return Err(e);
            }
        }
        Ok(session)
    }

    async fn greet(
        &self,
        identity: &Identity,
        hello: &proto::Hello,
        superseded: bool,
        (heard, now): (Option<u64>, u64),
    ) -> Result<bool, Error> {
        let old = self.store.agent(identity).await?;
        let mut agent = old.unwrap_or_else(|| Agent {
            identity: identity.clone(),
            row: 0,
            labels: BTreeMap::new(),
            version: String::new(),
            incarnation: String::new(),
            first_seen_ms: now,
            last_seen_ms: now,
            superseded: 0,
            revision: 0,
            content: String::new(),
            status: AgentStatus::default(),
            healthy_hash: None,
            quarantine: Vec::new(),
            away: false,
            lost_ms: None,
            says_goodbye: false,
            stopped: String::new(),
            died: None,
        });
        agent.last_seen_ms = agent.last_seen_ms.max(heard.unwrap_or_default());
        let died = self.died(&agent, hello, now).await?;
        let known = agent.row > 0 && agent.revision > 0;
        let healthy = agent.status.state == "healthy" && agent.status.revision == agent.revision;
        let unsettled = known && agent.incarnation != hello.incarnation && !healthy;
        // Another version of the agent may manage what this one could not.
        agent.quarantine.retain(|q| q.version == hello.version);
        agent.labels = hello.labels.clone().into_iter().collect();
        agent.version = hello.version.clone();
        agent.incarnation = hello.incarnation.clone();
        agent.last_seen_ms = now;
        agent.away = false;
        agent.lost_ms = None;
        agent.says_goodbye = hello.says_goodbye;
        agent.superseded += u64::from(superseded);
        agent.died = died.clone().or(agent.died);
        // The agent has seen a revision that this row forgot (deleted and enrolled again).
        if hello.store_id == self.meta.store_id && hello.revision > agent.revision {
            agent.revision = hello.revision;
            agent.content = String::new();
        }
        let body = json!({
            "incarnation": agent.incarnation,
            "version": agent.version,
            "labels": agent.labels,
            "superseded": superseded,
            "died": died,
        });
        let event = about(identity, "agent.connected", body);
        let agent = self.keep(agent, event).await?;
        if !unsettled {
            self.plan(agent).await?;
        }
        Ok(unsettled)
    }

    /// The agent's process ends because it was told to.
    pub async fn stopping(&self, identity: &Identity) -> Result<(), Error> {
        let _lane = self.lane(identity).await;
        let Some(mut agent) = self.store.agent(identity).await? else {
            return Ok(());
        };
        agent.stopped.clone_from(&agent.incarnation);
        agent.last_seen_ms = self.now_ms();
        let event = about(identity, "agent.stopping", json!({}));
        self.keep(agent, event).await.map(|_| ())
    }

    /// A session ended; `away`: not because this server ends.
    pub async fn disconnected(
        &self,
        identity: &Identity,
        session: u64,
        away: bool,
    ) -> Result<(), Error> {
        let _lane = self.lane(identity).await;
        let seen = self.live.last(identity).map(|(_, seen)| seen);
        if !self.live.closed(identity, session) {
            return Ok(());
        }
        let Some(mut agent) = self.store.agent(identity).await? else {
            return Ok(());
        };
        agent.last_seen_ms = seen.unwrap_or_else(|| self.now_ms());
        agent.away = away;
        agent.lost_ms = away.then(|| self.now_ms());
        let event = about(identity, "agent.disconnected", json!({}));
        self.keep(agent, event).await.map(|_| ())
    }

    /// What became of a desired state; it may mean that the agent is to get another one.
    pub async fn reported(&self, identity: &Identity, status: &proto::Status) -> Result<(), Error> {
        let _lane = self.lane(identity).await;
        let Some(mut agent) = self.store.agent(identity).await? else {
            return Ok(());
        };
        let news = known(status, &agent.incarnation);
        if agent.status == news {
            return Ok(());
        }
        let before = agent.quarantine.clone();
        judge(&mut agent, &news);
        agent.status = news;
        agent.last_seen_ms = self.now_ms();
        let barred = agent.quarantine != before;
        let body = serde_json::to_value(&agent.status).unwrap_or(Value::Null);
        let event = about(identity, kind(&agent.status.state), body);
        let agent = self.keep(agent, event).await?;
        if barred {
            self.plan(agent).await?;
        }
        Ok(())
    }

    /// Forgets that an agent fell back from a pipeline: it may get it again.
    pub(super) async fn forgive(
        &self,
        caller: &Caller,
        identity: &Identity,
        hash: &str,
    ) -> Result<(), Error> {
        let _lane = self.lane(identity).await;
        let Some(mut agent) = self.store.agent(identity).await? else {
            return Ok(());
        };
        agent.quarantine.retain(|q| q.hash != hash);
        let mut event = about(identity, "agent.forgiven", json!({ "hash": hash }));
        event.actor = caller.actor.clone();
        let agent = self.keep(agent, event).await?;
        self.plan(agent).await
    }

    async fn keep(&self, mut agent: Agent, event: NewEvent) -> Result<Agent, Error> {
        let change = Change::PutAgent(Box::new(agent.clone()));
        self.write(None, vec![change], vec![event]).await?;
        agent.row += 1;
        Ok(agent)
    }

    /// Agents of a tenant, or of all.
    pub async fn agents(&self, tenant: Option<&str>) -> Result<Vec<AgentView>, Error> {
        let agents = self.store.agents(tenant).await?;
        let mut views = Vec::with_capacity(agents.len());
        for agent in agents {
            let tenant = agent.identity.tenant.clone();
            let documents = self.current(&tenant).await?;
            let (assignments, experiments) = (&documents.assignments, &documents.experiments);
            let live = self.live.last(&agent.identity);
            let labels = crate::desired::labels(&agent);
            let wanted = desired(assignments, experiments, &agent);
            let runs = wanted.experiment.filter(|e| {
                let (status, revision) = (&agent.status, agent.status.experiment_revision);
                status.experiment == e.id
                    && revision == e.revision
                    && status.candidate_hash == e.candidate
            });
            views.push(AgentView {
                share: runs.map(|e| e.share),
                connected: live.is_some(),
                last_seen_ms: live.as_ref().map_or(agent.last_seen_ms, |(_, seen)| *seen),
                heartbeat: live.and_then(|(heartbeat, _)| heartbeat),
                assigned_hash: crate::desired::assigned(assignments, &tenant, &labels)
                    .map(|a| a.hash.clone()),
                desired_hash: wanted.baseline,
                agent,
            });
        }
        Ok(views)
    }

    /// Forgets an agent and its credential: it must enrol again.
    pub async fn delete_agent(&self, caller: &Caller, identity: &Identity) -> Result<(), Error> {
        let _lane = self.lane(identity).await;
        if self.store.agent(identity).await?.is_none()
            && self.store.credential(identity).await?.is_none()
        {
            return Err(Error::NotFound(format!("agent {}", identity.node)));
        }
        let mut event = about(identity, "agent.deleted", json!({}));
        event.actor = caller.actor.clone();
        self.write(None, vec![Change::DropAgent(identity.clone())], vec![event])
            .await?;
        self.live.disconnect(identity);
        Ok(())
    }
}

/// Keeps the quarantine: a refused pipeline is not sent again, an unproven one twice.
fn judge(agent: &mut Agent, news: &AgentStatus) {
    if news.hash.is_empty() {
        return;
    }
    match news.state.as_str() {
        "healthy" => {
            agent.quarantine.retain(|q| q.hash != news.hash);
            // A candidate that proved healthy is not what the agent falls back to.
            if news.hash == news.active_hash {
                agent.healthy_hash = Some(news.hash.clone());
            }
        }
        // The second arm of A/A: its pipeline serves as baseline still.
        "rejected" | "rolled-back" if news.hash == news.active_hash => {}
        state @ ("rejected" | "rolled-back" | "unproven") => {
            let incarnation = agent.incarnation.clone();
            let old = agent.quarantine.iter().position(|q| q.hash == news.hash);
            let mut entry = match old {
                Some(at) => agent.quarantine.remove(at),
                None => Quarantined {
                    hash: news.hash.clone(),
                    state: String::new(),
                    reason: String::new(),
                    version: String::new(),
                    boots: 0,
                    incarnation: String::new(),
                },
            };
            if state == "unproven" && entry.incarnation != incarnation {
                entry.boots += 1;
            }
            // What was refused for good stays refused.
            if !(state == "unproven" && matches!(entry.state.as_str(), "rejected" | "rolled-back"))
            {
                entry.state = state.into();
            }
            entry.reason = news.reason.clone();
            entry.version = agent.version.clone();
            entry.incarnation = incarnation;
            agent.quarantine.push(entry);
        }
        _ => {}
    }
}

fn known(status: &proto::Status, incarnation: &str) -> AgentStatus {
    let state = match status.state() {
        proto::PlanState::Unspecified => "",
        proto::PlanState::Validated => "validated",
        proto::PlanState::Active => "active",
        proto::PlanState::Healthy => "healthy",
        proto::PlanState::Rejected => "rejected",
        proto::PlanState::RolledBack => "rolled-back",
        proto::PlanState::Unproven => "unproven",
    };
    AgentStatus {
        incarnation: incarnation.into(),
        revision: status.revision,
        generation: status.generation,
        state: state.into(),
        hash: status.hash.clone(),
        problems: status
            .problems
            .iter()
            .map(|p| Problem {
                path: p.path.clone(),
                message: p.message.clone(),
            })
            .collect(),
        reason: status.reason.clone(),
        active_hash: status.active_hash.clone(),
        candidate_hash: status.candidate_hash.clone(),
        experiment: status.experiment.clone(),
        experiment_revision: status.experiment_revision,
        harm: harm(status.harm()).into(),
    }
}

fn harm(harm: proto::Harm) -> &'static str {
    match harm {
        proto::Harm::Unspecified => "",
        proto::Harm::Panic => "panic",
        proto::Harm::Memory => "memory",
        proto::Harm::Latency => "latency",
        proto::Harm::Protected => "protected",
        proto::Harm::Ledger => "ledger",
        proto::Harm::Export => "export",
    }
}

fn kind(state: &str) -> &'static str {
    match state {
        "validated" => "agent.validated",
        "active" => "agent.active",
        "healthy" => "agent.healthy",
        "rejected" => "agent.rejected",
        "rolled-back" => "agent.rolled-back",
        "unproven" => "agent.unproven",
        _ => "agent.status",
    }
}

fn about(identity: &Identity, kind: &'static str, body: Value) -> NewEvent {
    NewEvent {
        tenant: identity.tenant.clone(),
        cluster: identity.cluster.clone(),
        node: identity.node.clone(),
        object: format!("agent/{}/{}", identity.cluster, identity.node),
        kind,
        actor: format!("agent:{}", identity.node),
        body,
    }
}
