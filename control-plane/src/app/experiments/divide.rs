//! Whether a split can be divided at all: the engine's own check, before any agent meets it.

use super::WHAT;
use crate::app::{App, Error};
use crate::documents::{ExperimentSpec, Kind, Share};
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
        // A/A divides two arms of the baseline, every other step baseline and candidate.
        let splits: Vec<(bool, Vec<String>, f64)> = spec
            .course()
            .into_iter()
            .filter_map(|step| match step.share {
                Share::Entities { entity, percent }
                | Share::Both {
                    entity, percent, ..
                } => Some((step.kind == Kind::Aa, entity, percent)),
                _ => None,
            })
            .collect();
        if splits.is_empty() {
            return Ok(());
        }
        let baseline = match baseline {
            Some(hash) => self.compiled(tenant, hash).await?,
            None => compile::Pipeline::pass_through(),
        };
        let pipeline = self.compiled(tenant, candidate).await?;
        for (same, entity, percent) in splits {
            let candidate = Candidate {
                pipeline: match same {
                    true => baseline.clone(),
                    false => pipeline.clone(),
                },
                experiment: String::new(),
                division: Division::Split { entity, percent },
                protect: Vec::new(),
                scope: Vec::new(),
            };
            if let Err(problems) = Plan::new(baseline.clone(), Some(candidate)) {
                return Err(Error::Invalid {
                    what: WHAT,
                    problems,
                });
            }
        }
        Ok(())
    }

    pub(super) async fn compiled(
        &self,
        tenant: &str,
        hash: &str,
    ) -> Result<Arc<compile::Pipeline>, Error> {
        let found = self.resolve(tenant, hash).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("pipeline {hash}")))?;
        compile::compile(&found.document).map_err(|problems| Error::Invalid {
            what: "the pipeline",
            problems,
        })
    }
}
