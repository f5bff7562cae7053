//! Abort: one verb that takes the candidate back, whatever the experiment is doing. Said twice it does nothing
//! more.

use crate::app::assignments::{ABORTED, Edit, PROMOTED};
use crate::app::{App, Caller, Error};
use crate::model::{Assignment, Experiment, NewEvent, Phase, PhaseChange};
use crate::store::Change;

/// What an abort did.
#[derive(Debug, Clone)]
pub struct Aborted {
    pub experiment: Experiment,
    /// One sentence.
    pub did: String,
    /// False: there was nothing to take back.
    pub changed: bool,
}

impl App {
    /// Ends an experiment that is not over, without a verdict; ends a hold, or the wait for a promotion; takes a
    /// promotion back where the candidate still is what was promoted.
    pub async fn abort_experiment(
        &self,
        caller: &Caller,
        name: &str,
        reason: Option<&str>,
    ) -> Result<Aborted, Error> {
        let _turn = self.turn.lock().await;
        let e = self.experiment(&caller.tenant, name).await?;
        let why = reason.map_or_else(|| format!("aborted by {}", caller.actor), Into::into);
        if e.phase.is_terminal() && !e.holds {
            return self.take_back(caller, e, why).await;
        }
        let did = self.effect(&e).await?;
        let change = PhaseChange {
            // One that holds has its verdict.
            phase: (!e.holds).then_some(Phase::Cancelled),
            reason: why,
            ..PhaseChange::default()
        };
        let experiment = self.write_phase(None, caller, e, change).await?;
        Ok(Aborted {
            experiment,
            did,
            changed: true,
        })
    }

    /// What the end of an experiment that is not over, or holds, does.
    async fn effect(&self, e: &Experiment) -> Result<String, Error> {
        let members = self.members(e).await?;
        let running = members
            .iter()
            .filter(|m| m.connected && m.agent.status.experiment == e.id)
            .count();
        let to = self.without(e).await?;
        Ok(match e.phase {
            Phase::Pending => "it had not started: nothing ran".into(),
            _ if e.holds => format!(
                "it no longer holds the candidate; {running} connected agents go back to {to}"
            ),
            _ => format!(
                "step {} ended; {running} connected agents go back to {to}",
                e.step
            ),
        })
    }

    /// Of an experiment that is over: a promotion is undone while it still stands. The assignment that it made
    /// goes; one that it changed leads where it led before.
    async fn take_back(
        &self,
        caller: &Caller,
        mut e: Experiment,
        why: String,
    ) -> Result<Aborted, Error> {
        let nothing = |experiment: Experiment, did: String| Aborted {
            experiment,
            did,
            changed: false,
        };
        let Some(name) = e.promoted_to.clone() else {
            if e.taken_back || e.outcome() != Some("promote") {
                let did = format!("it is {} already: nothing runs", e.phase.name());
                return Ok(nothing(e, did));
            }
            // It waited for a person, who has decided.
            e.taken_back = true;
            let change = PhaseChange {
                reason: why,
                ..PhaseChange::default()
            };
            let experiment = self.write_phase(None, caller, e, change).await?;
            return Ok(Aborted {
                experiment,
                did: "its candidate ran nowhere, and is not to be promoted any more".into(),
                changed: true,
            });
        };
        let current = self.store.assignment(&e.tenant, &name).await?;
        let Some(current) = current.filter(|a| a.hash == e.candidate_hash) else {
            let did = format!("assignment {name} leads to another pipeline already");
            return Ok(nothing(e, did));
        };
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        let undone = self
            .undo(caller, &e, current, &mut changes, &mut events)
            .await?;
        let did = match undone {
            Ok(did) => did,
            Err(why) => {
                let did = format!(
                    "nothing was changed: {why}; `phoenix rollback {name} --to HASH` leads it elsewhere"
                );
                return Ok(nothing(e, did));
            }
        };
        e.promoted_to = None;
        e.taken_back = true;
        let change = PhaseChange {
            reason: format!("{why}: the promotion was taken back, {did}"),
            ..PhaseChange::default()
        };
        let experiment = self
            .changed(caller, e, change, &mut changes, &mut events)
            .await?;
        self.write(None, changes, events).await?;
        Ok(Aborted {
            experiment,
            did,
            changed: true,
        })
    }

    /// What was done, or why the assignment still leads to the candidate.
    async fn undo(
        &self,
        caller: &Caller,
        e: &Experiment,
        current: Assignment,
        changes: &mut Vec<Change>,
        events: &mut Vec<NewEvent>,
    ) -> Result<Result<String, String>, Error> {
        let name = current.name.clone();
        let history = self.store.assignment_history(&e.tenant, &name).await?;
        // Newest first.
        let mut led = history.iter().take_while(|h| h.hash == e.candidate_hash);
        if !led.any(|h| h.cause == PROMOTED) {
            return Ok(Err(format!(
                "assignment {name} led to the candidate before the promotion"
            )));
        }
        // What it led to before the promotion; a deletion leads nowhere.
        let mut before = history.iter().skip_while(|h| h.hash == e.candidate_hash);
        let Some(before) = before.next().filter(|h| !h.hash.is_empty()) else {
            self.dropped(caller, current, ABORTED, changes, events)
                .await?;
            return Ok(Ok(format!(
                "assignment {name}, which the promotion made, was deleted"
            )));
        };
        let to = &before.hash;
        if self.by_hash(&e.tenant, to).await?.is_none() {
            return Ok(Err(format!(
                "the pipeline that assignment {name} led to before the promotion was deleted"
            )));
        }
        if let Err(Error::Refused { message, .. }) = self.refuse_quarantined(&e.tenant, to).await {
            return Ok(Err(format!(
                "what assignment {name} led to before the promotion cannot be given to agents: {message}"
            )));
        }
        // By the name that was written, while that still leads there.
        let newest = self.resolve(&e.tenant, &before.pipeline).await?;
        let same = newest.is_some_and(|p| p.hash == *to);
        let mut spec = current.spec;
        spec.pipeline = if same {
            before.pipeline.clone()
        } else {
            to.clone()
        };
        let edit = Edit {
            name: name.clone(),
            spec,
            hash: to.clone(),
            cause: ABORTED,
        };
        let all = self.store.assignments(&e.tenant).await?;
        self.moved(caller, &all, edit, None, changes, events)
            .await?;
        let what = self.named(&e.tenant, to).await?;
        Ok(Ok(format!("assignment {name} was rolled back to {what}")))
    }
}
