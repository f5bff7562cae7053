//! Abort: one verb that takes the candidate back, whatever the experiment is doing. Said twice it does nothing
//! more.

use crate::app::{App, Caller, Error};
use crate::model::{Experiment, Phase, PhaseChange};

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
    /// Ends an experiment that is not over, without a verdict; takes a promotion back where the candidate
    /// still is what was promoted.
    pub async fn abort_experiment(
        &self,
        caller: &Caller,
        name: &str,
        reason: Option<&str>,
    ) -> Result<Aborted, Error> {
        let turn = self.turn.lock().await;
        let e = self.experiment(&caller.tenant, name).await?;
        if e.phase.is_terminal() {
            drop(turn);
            return self.take_back(caller, e).await;
        }
        let did = self.effect(&e).await?;
        let change = PhaseChange {
            phase: Some(Phase::Cancelled),
            reason: reason.map_or_else(|| format!("aborted by {}", caller.actor), Into::into),
            ..PhaseChange::default()
        };
        let experiment = self.write_phase(None, caller, e, change).await?;
        Ok(Aborted {
            experiment,
            did,
            changed: true,
        })
    }

    /// What the end of an experiment that is not over does.
    async fn effect(&self, e: &Experiment) -> Result<String, Error> {
        let members = self.members(e).await?;
        let running = members
            .iter()
            .filter(|m| m.connected && m.agent.status.experiment == e.id)
            .count();
        Ok(match e.phase {
            Phase::Pending => "it had not started: nothing ran".into(),
            _ => format!(
                "step {} ended; {running} connected agents go back to the baseline",
                e.step
            ),
        })
    }

    /// Of an experiment that is over: a promotion is rolled back while it still stands.
    async fn take_back(&self, caller: &Caller, e: Experiment) -> Result<Aborted, Error> {
        let nothing = |experiment: Experiment, did: String| Aborted {
            experiment,
            did,
            changed: false,
        };
        let Some(assignment) = e.promoted_to.clone() else {
            let did = format!("it is {} already: nothing runs", e.phase.name());
            return Ok(nothing(e, did));
        };
        let current = self.store.assignment(&e.tenant, &assignment).await?;
        if current.is_none_or(|a| a.hash != e.candidate_hash) {
            let did = format!("assignment {assignment} leads to another pipeline already");
            return Ok(nothing(e, did));
        }
        let did = match &e.baseline_hash {
            Some(to) => {
                let back = self.rollback(caller, &assignment, Some(to)).await?;
                format!(
                    "assignment {assignment} was rolled back to the baseline; {} connected agents follow",
                    back.agents
                )
            }
            // Nothing was assigned before: the assignment that the promotion made goes again.
            None => {
                self.delete_assignment(caller, &assignment).await?;
                format!("assignment {assignment}, which the promotion made, was deleted")
            }
        };
        Ok(Aborted {
            experiment: e,
            did,
            changed: true,
        })
    }
}
