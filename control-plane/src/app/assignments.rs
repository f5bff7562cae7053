//! Assignments: which agents run which pipeline, and the way back.

use super::quarantine::short;
use super::{App, Caller, Error, event};
use crate::desired::{assigned, labels, tie};
use crate::documents::{AssignmentSpec, is_hash, parse_assignment};
use crate::model::{Assignment, AssignmentChange, NewEvent};
use crate::store::Change;
use serde_json::json;
use std::collections::BTreeSet;

const WHAT: &str = "the assignment";

/// Cause of a change that a promotion made.
pub(super) const PROMOTED: &str = "promoted";
/// Cause of a rollback to the pipeline before, and of one to a pipeline that a person named.
const ROLLED_BACK: &str = "rolled-back";
const ROLLED_BACK_TO: &str = "rolled-back-to";
/// Cause of a change that took a promotion back.
pub(super) const ABORTED: &str = "aborted";

/// What a rollback did.
#[derive(Debug, Clone)]
pub struct RolledBack {
    pub assignment: String,
    pub from: String,
    pub to: String,
    /// Connected agents that it reaches.
    pub agents: usize,
}

/// A change of one assignment, before it is written.
pub(super) struct Edit {
    pub name: String,
    pub spec: AssignmentSpec,
    pub hash: String,
    pub cause: &'static str,
}

impl App {
    /// Makes or changes an assignment. True: it is new.
    pub async fn apply_assignment(
        &self,
        caller: &Caller,
        name: &str,
        text: &str,
    ) -> Result<(Assignment, bool), Error> {
        let document = parse_assignment(text).map_err(|problems| Error::Invalid {
            what: WHAT,
            problems,
        })?;
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
        let Some(pipeline) = self
            .resolve(&caller.tenant, &document.spec.pipeline)
            .await?
        else {
            return Err(Error::invalid(
                WHAT,
                "spec.pipeline",
                format!(
                    "there is no pipeline {:?}: apply it first",
                    document.spec.pipeline
                ),
            ));
        };
        self.refuse_quarantined(&caller.tenant, &pipeline.hash)
            .await?;
        let before = self.store.assignments(&caller.tenant).await?;
        let old = before.iter().find(|a| a.name == name).cloned();
        if let Some(same) = old
            .clone()
            .filter(|a| a.spec == document.spec && a.hash == pipeline.hash)
        {
            return Ok((same, false));
        }
        let edit = Edit {
            name: name.into(),
            spec: document.spec,
            hash: pipeline.hash.clone(),
            cause: "applied",
        };
        let written = self.edit(caller, &before, edit).await?;
        Ok((written, old.is_none()))
    }

    async fn edit(
        &self,
        caller: &Caller,
        before: &[Assignment],
        edit: Edit,
    ) -> Result<Assignment, Error> {
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        let new = self
            .moved(caller, before, edit, None, &mut changes, &mut events)
            .await?;
        self.write(None, changes, events).await?;
        Ok(Assignment {
            row: new.row + 1,
            ..new
        })
    }

    /// The rows and the events of an edit and of what it does to experiments, save one.
    pub(super) async fn moved(
        &self,
        caller: &Caller,
        before: &[Assignment],
        edit: Edit,
        except: Option<&str>,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<Assignment, Error> {
        let new = self.edited(caller, before, edit, changes, events)?;
        let rest = before.iter().filter(|a| a.name != new.name);
        let mut after: Vec<Assignment> = rest.cloned().collect();
        after.push(new.clone());
        self.end_disturbed(caller, before, &after, except, changes, events)
            .await?;
        Ok(new)
    }

    /// The rows and the event of an edit; refuses a tie.
    fn edited(
        &self,
        caller: &Caller,
        before: &[Assignment],
        edit: Edit,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<Assignment, Error> {
        let old = before.iter().find(|a| a.name == edit.name);
        let new = Assignment {
            tenant: caller.tenant.clone(),
            name: edit.name,
            row: old.map_or(0, |a| a.row),
            spec: edit.spec,
            hash: edit.hash,
            updated_ms: self.now_ms(),
            actor: caller.actor.clone(),
        };
        if let Some(other) = tie(before, &new) {
            return Err(Error::refused(
                "assignment-tie",
                format!(
                    "assignment {} has priority {} too and its selector can match the same agents: \
                     write another priority, or selectors that a label tells apart",
                    other.name, other.spec.priority
                ),
            ));
        }
        changes.push(Change::PutAssignment(new.clone()));
        changes.push(Change::AddAssignmentChange(AssignmentChange {
            tenant: new.tenant.clone(),
            name: new.name.clone(),
            pipeline: new.spec.pipeline.clone(),
            hash: new.hash.clone(),
            priority: new.spec.priority,
            cause: edit.cause.into(),
            actor: new.actor.clone(),
            time_ms: new.updated_ms,
        }));
        events.push(event(
            caller,
            format!("assignment/{}", new.name),
            if old.is_none() {
                "assignment.created"
            } else {
                "assignment.changed"
            },
            json!({
                "from": old.map(|a| &a.hash),
                "to": new.hash,
                "pipeline": new.spec.pipeline,
                "priority": new.spec.priority,
                "cause": edit.cause,
            }),
        ));
        Ok(new)
    }

    pub async fn assignments(&self, tenant: &str) -> Result<Vec<Assignment>, Error> {
        Ok(self.store.assignments(tenant).await?)
    }

    pub async fn assignment(&self, tenant: &str, name: &str) -> Result<Assignment, Error> {
        self.store
            .assignment(tenant, name)
            .await?
            .ok_or_else(|| Error::NotFound(format!("assignment {name}")))
    }

    /// Newest first; also of an assignment that is gone.
    pub async fn assignment_history(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<Vec<AssignmentChange>, Error> {
        let history = self.store.assignment_history(tenant, name).await?;
        if history.is_empty() {
            return Err(Error::NotFound(format!("assignment {name}")));
        }
        Ok(history)
    }

    pub async fn delete_assignment(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let old = self.assignment(&caller.tenant, name).await?;
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        self.dropped(caller, old, "deleted", &mut changes, &mut events)
            .await?;
        self.write(None, changes, events).await
    }

    /// The rows and the event of a deletion.
    pub(super) async fn dropped(
        &self,
        caller: &Caller,
        old: Assignment,
        cause: &str,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<(), Error> {
        let before = self.store.assignments(&caller.tenant).await?;
        let rest = before.iter().filter(|a| a.name != old.name);
        let after: Vec<Assignment> = rest.cloned().collect();
        changes.push(Change::AddAssignmentChange(AssignmentChange {
            tenant: caller.tenant.clone(),
            name: old.name.clone(),
            pipeline: String::new(),
            hash: String::new(),
            priority: old.spec.priority,
            cause: cause.into(),
            actor: caller.actor.clone(),
            time_ms: self.now_ms(),
        }));
        events.push(event(
            caller,
            format!("assignment/{}", old.name),
            "assignment.deleted",
            json!({ "from": old.hash }),
        ));
        changes.push(Change::DropAssignment(old));
        self.end_disturbed(caller, &before, &after, None, changes, events)
            .await
    }

    /// Back to the pipeline before the present one, or to `to` (a hash or its beginning). The
    /// assignment is pinned to that version: a name would lead forward again.
    pub async fn rollback(
        &self,
        caller: &Caller,
        name: &str,
        to: Option<&str>,
    ) -> Result<RolledBack, Error> {
        let _turn = self.turn.lock().await;
        let current = self.assignment(&caller.tenant, name).await?;
        let cause = to.map_or(ROLLED_BACK, |_| ROLLED_BACK_TO);
        let to = self.rollback_target(&current, to).await?;
        self.refuse_quarantined(&caller.tenant, &to).await?;
        let from = current.hash.clone();
        let before = self.store.assignments(&caller.tenant).await?;
        let mut spec = current.spec.clone();
        spec.pipeline = to.clone();
        let edit = Edit {
            name: name.into(),
            spec,
            hash: to.clone(),
            cause,
        };
        self.edit(caller, &before, edit).await?;
        let agents = self.connected_under(&caller.tenant, name).await?;
        Ok(RolledBack {
            assignment: name.into(),
            from,
            to,
            agents,
        })
    }

    async fn rollback_target(
        &self,
        current: &Assignment,
        to: Option<&str>,
    ) -> Result<String, Error> {
        let tenant = &current.tenant;
        let history = self.store.assignment_history(tenant, &current.name).await?;
        let wanted = match to {
            None => {
                let barred = self.store.quarantine(tenant).await?;
                let mut barred: BTreeSet<String> = barred.into_iter().map(|q| q.hash).collect();
                let experiments = self.store.experiments(Some(tenant)).await?;
                let taken = experiments.into_iter().filter(|e| e.taken_back);
                barred.extend(taken.map(|e| e.candidate_hash));
                for change in &history {
                    if self.by_hash(tenant, &change.hash).await?.is_none() {
                        barred.insert(change.hash.clone());
                    }
                }
                let now = self.named(tenant, &current.hash).await?;
                earlier(current, &now, &history, barred)?
            }
            Some(hash) if is_hash(hash) => hash.to_owned(),
            Some(prefix) => history
                .iter()
                .map(|h| &h.hash)
                .find(|h| prefix.len() >= 6 && h.starts_with(prefix))
                .cloned()
                .ok_or_else(|| {
                    Error::NotFound(format!(
                        "pipeline {prefix} in the history of assignment {}",
                        current.name
                    ))
                })?,
        };
        match self.by_hash(tenant, &wanted).await? {
            Some(pipeline) => Ok(pipeline.hash.clone()),
            None => Err(Error::NotFound(format!("pipeline {wanted}"))),
        }
    }

    /// How many connected agents an assignment serves.
    async fn connected_under(&self, tenant: &str, name: &str) -> Result<usize, Error> {
        let assignments = self.store.assignments(tenant).await?;
        let agents = self.store.agents(Some(tenant)).await?;
        Ok(agents
            .iter()
            .filter(|a| self.live.connected(&a.identity))
            .filter(|a| assigned(&assignments, tenant, &labels(a)).is_some_and(|x| x.name == name))
            .count())
    }
}

/// The pipeline before the present one that neither an abort, a quarantine nor a rollback took away: said twice it
/// does not lead forward again. `now`: what people are told of the present one; `barred`: hashes that are
/// quarantined or were taken back, or of pipelines that were deleted.
fn earlier(
    current: &Assignment,
    now: &str,
    history: &[AssignmentChange],
    mut barred: BTreeSet<String>,
) -> Result<String, Error> {
    let mut passed: Vec<String> = Vec::new();
    let mut after: Option<&AssignmentChange> = None;
    for change in history {
        if after.is_some_and(|a| a.cause == ABORTED || a.cause == ROLLED_BACK) {
            barred.insert(change.hash.clone());
        }
        after = Some(change);
        if change.hash.is_empty() || change.hash == current.hash {
            continue;
        }
        if !barred.contains(&change.hash) {
            return Ok(change.hash.clone());
        }
        if !passed.contains(&change.hash) {
            passed.push(change.hash.clone());
        }
    }
    let name = &current.name;
    let message = match passed.as_slice() {
        [] => format!("assignment {name} never led to another pipeline"),
        some => {
            let some: Vec<&str> = some.iter().map(|hash| short(hash)).collect();
            format!(
                "assignment {name} leads to {now}, and before that to nothing but what was deleted, or taken away by \
                 an abort, a quarantine or a rollback ({}): `phoenix rollback {name} --to HASH` leads where you \
                 want it",
                some.join(", ")
            )
        }
    };
    Err(Error::refused("no-earlier-pipeline", message))
}
