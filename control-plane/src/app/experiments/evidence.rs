//! What a replay of captures showed: windows in the form that the judge reads, brought by a person.

use super::WHAT;
use crate::app::{App, Caller, Error, event};
use crate::documents::Kind;
use crate::model::{Experiment, Phase};
use crate::store::{self, Change};
use phoenix_analysis::Window;
use serde_json::json;

impl App {
    /// Keeps the windows of a replay for the step that waits for them. They replace what was there.
    pub async fn put_evidence(
        &self,
        caller: &Caller,
        name: &str,
        mut windows: Vec<Window>,
    ) -> Result<Experiment, Error> {
        let _turn = self.turn.lock().await;
        let e = self.experiment(&caller.tenant, name).await?;
        let step = e.current().filter(|s| s.kind == Kind::Replay);
        let Some(step) = step.filter(|_| e.phase == Phase::Running) else {
            return Err(Error::refused(
                "no-replay-awaited",
                format!(
                    "experiment {name} is {} in step {}: windows of a replay are taken while step replay runs",
                    e.phase.name(),
                    e.step
                ),
            ));
        };
        for (n, window) in windows.iter_mut().enumerate() {
            check(&e, n, window)?;
            window.experiment.clone_from(&e.id);
            window.step.clone_from(&step.name);
            window.revision = e.revision;
        }
        if windows.is_empty() {
            return Err(Error::invalid(WHAT, "", "the replay has no window"));
        }
        let told = event(
            caller,
            format!("experiment/{name}"),
            "experiment.replayed",
            json!({ "id": e.id, "windows": windows.len() }),
        );
        let body = serde_json::to_string(&windows)
            .map_err(|error| Error::Store(store::Error::Row(error.to_string())))?;
        let change = Change::PutEvidence {
            tenant: e.tenant.clone(),
            experiment: e.id.clone(),
            body,
        };
        self.write(None, vec![change], vec![told]).await?;
        Ok(e)
    }

    /// The windows of an experiment's replay, and when they came.
    pub async fn evidence(&self, e: &Experiment) -> Result<(Vec<Window>, u64), Error> {
        match self.store.evidence(&e.tenant, &e.id).await? {
            None => Ok((Vec::new(), 0)),
            Some((body, time)) => serde_json::from_str(&body)
                .map(|windows| (windows, time))
                .map_err(|error| Error::Store(store::Error::Row(error.to_string()))),
        }
    }
}

/// Both arms ran what the experiment compares.
fn check(e: &Experiment, n: usize, window: &Window) -> Result<(), Error> {
    let baseline = e.baseline_hash.as_deref().unwrap_or_default();
    for (key, arm, hash) in [
        ("baseline", &window.baseline, baseline),
        ("candidate", &window.candidate, e.candidate_hash.as_str()),
    ] {
        let ran = arm.as_ref().map(|a| a.hash.as_str());
        if ran != Some(hash) {
            return Err(Error::invalid(
                WHAT,
                &format!("[{n}].{key}.hash"),
                format!(
                    "{:?} where the experiment compares {hash:?}: replay it again",
                    ran.unwrap_or_default()
                ),
            ));
        }
    }
    Ok(())
}
