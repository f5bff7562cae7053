//! Start, phase changes by the driver, and what happens when the ground moves.

use crate::app::{App, Caller, Error, event};
use crate::desired::{assigned, choose, labels};
use crate::documents::Kind;
use crate::driver::next::{Memory, first_phase};
use crate::model::{Agent, Assignment, Experiment, Fence, NewEvent, Phase, PhaseChange};
use crate::store::Change;
use serde_json::json;

impl App {
    /// Fixes both pipelines and hands the experiment to the driver (`Initializing`).
    pub async fn start_experiment(&self, caller: &Caller, name: &str) -> Result<Experiment, Error> {
        let _turn = self.turn.lock().await;
        let mut e = self.experiment(&caller.tenant, name).await?;
        if e.phase != Phase::Pending {
            let way = match (e.phase.is_active(), e.holds) {
                (true, _) => format!(
                    "(step {}) already: `phoenix experiment status {name}`",
                    e.step
                ),
                (_, true) => "and holds the candidate: promote or abort it first".into(),
                _ => "apply it again for another run".into(),
            };
            let sign = if e.is_live() { " " } else { ": " };
            return Err(Error::refused(
                "experiment-not-pending",
                format!("experiment {name} is {}{sign}{way}", e.phase.name()),
            ));
        }
        let all = self.store.experiments(Some(&e.tenant)).await?;
        super::refuse_overlap(&all, name, &e.spec)?;
        let candidate = self.resolve(&e.tenant, &e.spec.candidate).await?;
        e.candidate_hash = candidate
            .ok_or_else(|| Error::NotFound(format!("pipeline {}", e.spec.candidate)))?
            .hash
            .clone();
        let assignments = self.store.assignments(&e.tenant).await?;
        let agents = self.store.agents(Some(&e.tenant)).await?;
        let of = agents.iter().map(labels);
        let of = of.filter(|labels| e.spec.scope.selector.matches(labels));
        let hash = |labels| assigned(&assignments, &e.tenant, &labels).map(|a| a.hash.clone());
        e.assigned = of.map(hash).collect();
        e.baseline_hash = match &e.spec.baseline {
            Some(reference) => {
                let found = self.resolve(&e.tenant, reference).await?;
                let found =
                    found.ok_or_else(|| Error::NotFound(format!("pipeline {reference}")))?;
                Some(found.hash.clone())
            }
            None => baseline_of(&e, &assignments, &agents)?,
        };
        if e.baseline_hash.as_ref() == Some(&e.candidate_hash) {
            return Err(Error::refused(
                "same-pipeline",
                "baseline and candidate are the same pipeline",
            ));
        }
        self.refuse_quarantined(&e.tenant, &e.candidate_hash)
            .await?;
        let steps = e.spec.course();
        if e.baseline_hash.is_none() && steps.iter().any(|s| s.kind == Kind::Aa) {
            return Err(Error::refused(
                "aa-without-baseline",
                "nothing is assigned, so there is no pipeline that an A/A step could run twice: assign \
                 one, name a baseline, or leave the step out",
            ));
        }
        self.check_split(
            &e.tenant,
            &e.spec,
            e.baseline_hash.as_deref(),
            &e.candidate_hash,
        )
        .await?;
        let Some(first) = steps.first() else {
            return Err(Error::invalid(super::WHAT, "spec.steps", "write a step"));
        };
        let members: Vec<(String, bool)> = self
            .members(&e)
            .await?
            .into_iter()
            .map(|m| (m.agent.identity.to_string(), m.connected))
            .collect();
        let change = PhaseChange {
            phase: Some(first_phase(first)),
            at: Some(0),
            chosen: Some(choose(&first.share, &e.id, &members)),
            reason: format!("started by {}", caller.actor),
            ..PhaseChange::default()
        };
        self.write_phase(None, caller, e, change).await
    }

    /// Moves an experiment on, as the driver. Fails with `conflict` when it was changed since it was
    /// read, and with `fenced` when the lease is gone.
    pub async fn set_phase(
        &self,
        fence: &Fence,
        experiment: &Experiment,
        change: PhaseChange,
    ) -> Result<Experiment, Error> {
        let _turn = self.turn.lock().await;
        let caller = driver(&experiment.tenant);
        self.write_phase(Some(fence), &caller, experiment.clone(), change)
            .await
    }

    pub(super) async fn write_phase(
        &self,
        fence: Option<&Fence>,
        caller: &Caller,
        experiment: Experiment,
        change: PhaseChange,
    ) -> Result<Experiment, Error> {
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        let new = self
            .changed(caller, experiment, change, &mut changes, &mut events)
            .await?;
        self.write(fence, changes, events).await?;
        Ok(Experiment {
            row: new.row + 1,
            ..new
        })
    }

    /// The rows and the events of a phase change and, where it bars the candidate, of that.
    pub(super) async fn changed(
        &self,
        caller: &Caller,
        mut e: Experiment,
        mut change: PhaseChange,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<Experiment, Error> {
        if let Some(chosen) = &change.chosen {
            let members = self.members(&e).await?;
            let mut there = members.iter().filter(|m| m.connected);
            e.chosen_all = there.all(|m| chosen.contains(&m.agent.identity.to_string()));
        }
        if let Some(reason) = change.quarantine.take() {
            self.bar(caller, &e, reason, changes, events).await?;
        }
        let (new, told) = self.phased(caller, e, change);
        changes.push(Change::PutExperiment(new.clone()));
        events.push(told);
        Ok(new)
    }

    /// The row and the event of a phase change.
    pub(in crate::app) fn phased(
        &self,
        caller: &Caller,
        mut e: Experiment,
        change: PhaseChange,
    ) -> (Experiment, NewEvent) {
        let now = self.now_ms();
        let from = (e.phase, e.step.clone());
        let ended = change.result.clone();
        e.results.extend(change.result);
        if let Some(at) = change.at {
            e.at = at;
            e.revision += 1;
            e.step = e.current().map(|s| s.name).unwrap_or_default();
            e.step_started_ms = None;
        }
        if let Some(phase) = change.phase.filter(|p| *p != from.0 || change.at.is_some()) {
            e.phase = phase;
            e.phase_ms = now;
            if phase == Phase::Running {
                e.step_started_ms = Some(now);
                e.started_ms = e.started_ms.or(Some(now));
            }
            if phase.is_terminal() {
                e.ended_ms = Some(now);
            }
        }
        e.chosen = change.chosen.unwrap_or(e.chosen);
        e.memory = change.memory.unwrap_or(e.memory);
        if e.phase == Phase::Running && (e.phase != from.0 || change.at.is_some()) {
            // Others may have come or gone since: what the step compares decides.
            let took = Memory::of(&e).agents;
            let all = took.iter().all(|agent| e.chosen.contains(agent));
            e.chosen_all = all && !took.is_empty();
        }
        // A hold ends with a promotion, or the candidate was taken back.
        e.taken_back |= e.holds && !change.holds && e.promoted_to.is_none();
        e.holds = change.holds;
        let judged = change.verdict.is_some();
        if judged {
            e.verdict = change.verdict;
        }
        e.reason = change.reason;
        let body = json!({
            "id": e.id,
            "from": from.0,
            "phase": e.phase,
            "step": e.step,
            "reason": e.reason,
            "ended": ended.map(|r| json!({ "step": r.step, "passed": r.passed, "reason": r.reason })),
            "verdict": e.verdict.as_ref().filter(|_| judged),
        });
        let kind = match (e.phase == from.0, e.step == from.1) {
            (false, _) => "experiment.phase",
            (true, false) => "experiment.step",
            (true, true) => "experiment.progress",
        };
        let told = event(caller, format!("experiment/{}", e.name), kind, body);
        (e, told)
    }

    /// Cancels the active experiments whose agents would get another baseline: a change of an
    /// assignment always takes effect, and no window after it can be compared.
    pub(in crate::app) async fn end_disturbed(
        &self,
        caller: &Caller,
        before: &[Assignment],
        after: &[Assignment],
        except: Option<&str>,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<(), Error> {
        let mut experiments = self.store.experiments(Some(&caller.tenant)).await?;
        experiments.retain(|e| e.is_live() && Some(e.name.as_str()) != except);
        if experiments.is_empty() {
            return Ok(());
        }
        let agents = self.store.agents(Some(&caller.tenant)).await?;
        for e in experiments {
            let moved = agents.iter().find(|a| {
                let labels = labels(a);
                let hash = |all| assigned(all, &e.tenant, &labels).map(|x| x.hash.clone());
                e.spec.scope.selector.matches(&labels) && hash(before) != hash(after)
            });
            if let Some(agent) = moved {
                let change = PhaseChange {
                    // One that holds has its verdict.
                    phase: e.phase.is_active().then_some(Phase::Cancelled),
                    reason: format!(
                        "the assigned pipeline of agent {} changed while it {}",
                        agent.identity.node,
                        if e.holds { "held the candidate" } else { "ran" }
                    ),
                    ..PhaseChange::default()
                };
                self.changed(caller, e, change, changes, events).await?;
            }
        }
        Ok(())
    }
}

/// The background loop as an actor.
pub(super) fn driver(tenant: &str) -> Caller {
    Caller {
        tenant: tenant.into(),
        actor: "driver".into(),
    }
}

/// What is assigned to all agents of an experiment (`None`: nothing).
///
/// # Errors
/// They run different pipelines, or no agent is known.
pub fn baseline_of(
    e: &Experiment,
    assignments: &[Assignment],
    agents: &[Agent],
) -> Result<Option<String>, Error> {
    let mut hashes: Vec<Option<String>> = agents
        .iter()
        .map(labels)
        .filter(|labels| e.spec.scope.selector.matches(labels))
        .map(|labels| assigned(assignments, &e.tenant, &labels).map(|a| a.hash.clone()))
        .collect();
    hashes.sort();
    hashes.dedup();
    match hashes.len() {
        0 => Err(Error::refused(
            "no-agents",
            "no known agent matches the selector",
        )),
        1 => Ok(hashes.pop().flatten()),
        n => Err(Error::refused(
            "different-baselines",
            format!(
                "the agents of the selector run {n} different pipelines: narrow the selector, \
                 or name the baseline"
            ),
        )),
    }
}
