//! Whether a split can be divided at all: the engine's own check, before any agent meets it.

use super::WHAT;
use crate::app::{App, Error};
use crate::documents::{ExperimentSpec, Mode};
use phoenix_engine::compile::{self, Candidate, Division, Plan};
use std::sync::Arc;

impl App {
    /// Refuses a split whose arms would write the same series, naming the stage. `baseline`: `None`
    /// where nothing is assigned (pass-through keeps every key).
    pub(super) async fn check_split(
        &self,
        tenant: &str,
        spec: &ExperimentSpec,
        baseline: Option<&str>,
        candidate: &str,
    ) -> Result<(), Error> {
        if spec.mode != Mode::Split {
            return Ok(());
        }
        let baseline = match baseline {
            Some(hash) => self.compiled(tenant, hash).await?,
            None => compile::Pipeline::pass_through(),
        };
        let candidate = Candidate {
            pipeline: self.compiled(tenant, candidate).await?,
            experiment: String::new(),
            division: Division::Split {
                entity: spec.entity.clone(),
                percent: spec.percent,
            },
            protect: Vec::new(),
        };
        match Plan::new(baseline, Some(candidate)) {
            Ok(_) => Ok(()),
            Err(problems) => Err(Error::Invalid {
                what: WHAT,
                problems,
            }),
        }
    }

    async fn compiled(&self, tenant: &str, hash: &str) -> Result<Arc<compile::Pipeline>, Error> {
        let found = self.resolve(tenant, hash).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("pipeline {hash}")))?;
        compile::compile(&found.document).map_err(|problems| Error::Invalid {
            what: "the pipeline",
            problems,
        })
    }
}
