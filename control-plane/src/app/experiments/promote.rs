//! Promotion: an ordinary change of an assignment.

use super::lifecycle::{baseline_of, driver};
use crate::app::assignments::{Edit, PROMOTED};
use crate::app::{App, Caller, Error};
use crate::desired::{assigned, labels, tie};
use crate::documents::AssignmentSpec;
use crate::model::{Agent, Assignment, Experiment, Fence, NewEvent, Phase, PhaseChange};
use crate::store::Change;

impl App {
    /// Ends an experiment with its verdict and, where `promote`, makes the candidate what is
    /// assigned: both or neither.
    pub async fn complete(
        &self,
        fence: &Fence,
        experiment: &Experiment,
        change: PhaseChange,
        promote: bool,
    ) -> Result<Experiment, Error> {
        let _turn = self.turn.lock().await;
        let caller = driver(&experiment.tenant);
        self.finish(Some(fence), &caller, experiment.clone(), change, promote)
            .await
    }

    /// Promotes by hand. A verdict `promote` is enough; `force` overrides an inconclusive one, the want of
    /// data, or another assigned pipeline than the one it was compared with; never a rejection.
    pub async fn promote_experiment(
        &self,
        caller: &Caller,
        name: &str,
        force: bool,
    ) -> Result<Experiment, Error> {
        let _turn = self.turn.lock().await;
        let e = self.experiment(&caller.tenant, name).await?;
        if let Some(to) = &e.promoted_to {
            let now = self.store.assignments(&e.tenant).await?;
            if now
                .iter()
                .any(|a| a.name == *to && a.hash == e.candidate_hash)
            {
                return Ok(e);
            }
            return Err(Error::refused(
                "not-promotable",
                format!(
                    "experiment {name} was promoted to assignment {to}, and that was taken back: run it again, or apply the assignment"
                ),
            ));
        }
        if e.taken_back {
            return Err(Error::refused(
                "not-promotable",
                format!(
                    "the candidate of experiment {name} was taken back ({}): apply and run it again",
                    e.reason
                ),
            ));
        }
        let refusal = match (e.phase, e.outcome()) {
            (Phase::Completed, Some("promote")) => None,
            (Phase::Completed, Some("reject") | None) => Some("its verdict is reject"),
            (Phase::Completed, Some(_)) if force => None,
            (Phase::Completed, Some(_)) => Some("its verdict is not promote (force overrides)"),
            _ => Some("it has not completed"),
        };
        if let Some(why) = refusal {
            return Err(Error::refused(
                "not-promotable",
                format!("experiment {name} cannot be promoted: {why}"),
            ));
        }
        if let Some(why) = self.moved_on(&e).await?.filter(|_| !force) {
            return Err(Error::refused(
                "not-promotable",
                format!("experiment {name} cannot be promoted: {why} (force overrides)"),
            ));
        }
        let change = PhaseChange {
            reason: format!("promoted by {}", caller.actor),
            ..PhaseChange::default()
        };
        self.finish(None, caller, e, change, true).await
    }

    /// What is assigned to an agent of an experiment that has ended, where that is neither of its pipelines.
    async fn moved_on(&self, e: &Experiment) -> Result<Option<String>, Error> {
        let assignments = self.store.assignments(&e.tenant).await?;
        let agents = self.store.agents(Some(&e.tenant)).await?;
        let as_it_was = |a: Option<&Assignment>| {
            let hash = a.map(|a| a.hash.clone());
            // A baseline that the document names need never have been what is assigned.
            let named = e.spec.baseline.is_some();
            let before = e.assigned.is_empty() || e.assigned.contains(&hash);
            hash == e.baseline_hash || hash.as_ref() == Some(&e.candidate_hash) || named && before
        };
        let of = agents.iter().map(|a| (a, labels(a)));
        let mut of = of.filter(|(_, labels)| e.spec.scope.selector.matches(labels));
        let moved = of.find_map(|(agent, labels)| {
            let now = assigned(&assignments, &e.tenant, &labels);
            (!as_it_was(now)).then_some((agent, now))
        });
        let Some((agent, now)) = moved else {
            return Ok(None);
        };
        let compared = match &e.baseline_hash {
            Some(hash) => self.named(&e.tenant, hash).await?,
            None => "nothing".into(),
        };
        let now = match now {
            Some(a) => format!(
                "assignment {} leads agent {} to {}",
                a.name,
                agent.identity.node,
                self.named(&e.tenant, &a.hash).await?
            ),
            None => format!("nothing is assigned to agent {}", agent.identity.node),
        };
        Ok(Some(format!(
            "it was compared with {compared}, and now {now}: run it again"
        )))
    }

    async fn finish(
        &self,
        fence: Option<&Fence>,
        caller: &Caller,
        mut e: Experiment,
        change: PhaseChange,
        promote: bool,
    ) -> Result<Experiment, Error> {
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        if promote {
            let name = self
                .promotion(caller, &e, &mut changes, &mut events)
                .await?;
            e.promoted_to = Some(name);
        }
        let new = self
            .changed(caller, e, change, &mut changes, &mut events)
            .await?;
        self.write(fence, changes, events).await?;
        Ok(Experiment {
            row: new.row + 1,
            ..new
        })
    }

    /// The assignment that serves the experiment's agents, if it has the same selector; else a new
    /// one above it. Where all of them are led to the candidate already, nothing changes.
    async fn promotion(
        &self,
        caller: &Caller,
        e: &Experiment,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<String, Error> {
        let Some(candidate) = self.by_hash(&e.tenant, &e.candidate_hash).await? else {
            return Err(Error::NotFound(format!("pipeline {}", e.candidate_hash)));
        };
        self.refuse_quarantined(&e.tenant, &e.candidate_hash)
            .await?;
        let before = self.store.assignments(&e.tenant).await?;
        let agents = self.store.agents(Some(&e.tenant)).await?;
        let serving = serving(e, &before, &agents);
        let assigned = baseline_of(e, &before, &agents).ok().flatten();
        if let (true, Some(name)) = (
            assigned.as_ref() == Some(&e.candidate_hash),
            serving.first(),
        ) {
            return Ok(name.clone());
        }
        let same = before
            .iter()
            .filter(|a| a.spec.selector == e.spec.scope.selector)
            .find(|a| serving.iter().all(|s| *s == a.name));
        // By name while the name still leads to what was measured, else pinned.
        let newest = self.resolve(&e.tenant, &e.spec.candidate).await?;
        let pipeline = match newest {
            Some(p) if p.hash == e.candidate_hash => e.spec.candidate.clone(),
            _ => e.candidate_hash.clone(),
        };
        let mut spec = AssignmentSpec {
            selector: e.spec.scope.selector.clone(),
            pipeline,
            priority: same.map_or_else(|| above(&before, &serving, e), |a| a.spec.priority),
        };
        let name = match same {
            Some(a) => a.name.clone(),
            None => {
                let name = format!("experiment-{}", e.name);
                spec.priority = free(&before, &name, &spec, e);
                name
            }
        };
        let edit = Edit {
            name: name.clone(),
            spec,
            hash: candidate.hash.clone(),
            cause: PROMOTED,
        };
        self.moved(caller, &before, edit, Some(&e.name), changes, events)
            .await?;
        Ok(name)
    }
}

/// Names of the assignments that serve the experiment's agents now.
fn serving(e: &Experiment, all: &[Assignment], agents: &[Agent]) -> Vec<String> {
    let mut names: Vec<String> = agents
        .iter()
        .map(labels)
        .filter(|labels| e.spec.scope.selector.matches(labels))
        .filter_map(|labels| assigned(all, &e.tenant, &labels).map(|a| a.name.clone()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// One above everything that serves the agents.
fn above(all: &[Assignment], serving: &[String], e: &Experiment) -> i64 {
    all.iter()
        .filter(|a| {
            serving.contains(&a.name)
                || (serving.is_empty() && a.spec.selector.overlaps(&e.spec.scope.selector))
        })
        .map(|a| a.spec.priority.saturating_add(1))
        .max()
        .unwrap_or(0)
}

/// The first priority from there that ties with nothing.
fn free(all: &[Assignment], name: &str, spec: &AssignmentSpec, e: &Experiment) -> i64 {
    let mut probe = Assignment {
        tenant: e.tenant.clone(),
        name: name.into(),
        row: 0,
        spec: spec.clone(),
        hash: String::new(),
        updated_ms: 0,
        actor: String::new(),
    };
    while tie(all, &probe).is_some() {
        probe.spec.priority = probe.spec.priority.saturating_add(1);
    }
    probe.spec.priority
}
