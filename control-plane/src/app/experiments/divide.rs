//! Whether an experiment can be divided at all: the engine's own check, before any agent meets it.

use super::WHAT;
use crate::app::{App, Error};
use crate::documents::{ExperimentSpec, Kind, Share};
use phoenix_engine::compile::{self, Candidate, Division, Plan};
use phoenix_engine::document::parse_matchers;
use std::sync::Arc;

impl App {
    /// Refuses arms that would write the same series, or mix what is in scope with what is not, naming the stage. `baseline`: `None`
    /// where nothing is assigned (pass-through keeps every key).
    pub(super) async fn check_split(
        &self,
        tenant: &str,
        spec: &ExperimentSpec,
        baseline: Option<&str>,
        candidate: &str,
    ) -> Result<(), Error> {
        let scope = serde_json::Value::Array(spec.scope.metrics.clone()).to_string();
        let scope = parse_matchers(&scope).map_err(|problems| Error::Invalid {
            what: WHAT,
            problems,
        })?;
        // A/A divides two arms of the baseline, every other step baseline and candidate.
        let splits: Vec<(bool, Division)> = spec
            .course()
            .into_iter()
            .filter_map(|step| {
                let same = step.kind == Kind::Aa;
                match step.share {
                    Share::Entities { entity, percent }
                    | Share::Both {
                        entity, percent, ..
                    } => Some((same, Division::Split { entity, percent })),
                    // What is outside the scope must stay outside behind every stage, however it is divided.
                    _ if !scope.is_empty() => Some((same, Division::Shadow)),
                    _ => None,
                }
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
        for (same, division) in splits {
            let candidate = Candidate {
                pipeline: match same {
                    true => baseline.clone(),
                    false => pipeline.clone(),
                },
                experiment: String::new(),
                division,
                protect: Vec::new(),
                scope: scope.clone(),
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
