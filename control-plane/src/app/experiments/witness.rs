//! What a backend told of a step: kept with the experiment, and told as an event.

use super::lifecycle::driver;
use crate::app::{App, Error, event};
use crate::model::{Experiment, Fence, Witness};
use crate::store::Change;
use serde_json::json;

impl App {
    /// Of all tenants: those that ran or run.
    pub async fn started_experiments(&self) -> Result<Vec<Experiment>, Error> {
        let mut all = self.store.experiments(None).await?;
        all.retain(|e| e.started_ms.is_some());
        Ok(all)
    }

    /// Keeps what was heard of a step, in place of what was heard of it before. Of a run that was replaced by
    /// another nothing is kept.
    pub async fn set_witness(
        &self,
        fence: &Fence,
        e: &Experiment,
        heard: Witness,
    ) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let mut present = self.experiment(&e.tenant, &e.name).await?;
        if present.id != e.id {
            return Ok(());
        }
        let told = event(
            &driver(&e.tenant),
            format!("experiment/{}", e.name),
            "experiment.witness",
            json!({
                "id": e.id,
                "step": heard.step,
                "revision": heard.revision,
                "word": heard.word,
                "reason": heard.reason,
                "tolerance": heard.tolerance,
                "disagree": disagreeing(&heard),
            }),
        );
        present.witness.retain(|w| w.revision != heard.revision);
        present.witness.push(heard);
        present.witness.sort_by_key(|w| w.revision);
        let change = Change::PutExperiment(present);
        self.write(Some(fence), vec![change], vec![told]).await
    }
}

/// The figures that disagree, with both values.
fn disagreeing(heard: &Witness) -> Vec<serde_json::Value> {
    let of = heard.figures.iter();
    of.filter(|f| f.word == crate::model::Word::Disagrees)
        .map(|f| {
            json!({
                "what": f.what, "arm": f.arm, "labels": f.labels, "agents": f.agents, "backend": f.backend,
                "missing": f.missing,
            })
        })
        .collect()
}
