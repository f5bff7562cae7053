//! Pipelines: immutable versions by hash.

use super::{App, Caller, Error, event};
use crate::documents::is_hash;
use crate::model::{AssignmentChange, Phase, Pipeline, Quarantined};
use crate::store::Change;
use phoenix_engine::compile::compile;
use phoenix_engine::document::Problem;
use serde_json::json;
use std::sync::Arc;

/// An applied pipeline.
#[derive(Debug, Clone)]
pub struct Applied {
    pub pipeline: Pipeline,
    /// False: the newest version already was this one.
    pub created: bool,
}

/// What the engine says of a document.
#[derive(Debug, Clone)]
pub struct Validation {
    pub name: Option<String>,
    pub hash: Option<String>,
    pub problems: Vec<Problem>,
}

impl App {
    /// Compiles without keeping anything.
    pub fn validate_pipeline(&self, text: &str) -> Validation {
        match check(text) {
            Ok(compiled) => Validation {
                name: Some(compiled.name.clone()),
                hash: Some(compiled.hash.clone()),
                problems: Vec::new(),
            },
            Err(problems) => Validation {
                name: None,
                hash: None,
                problems,
            },
        }
    }

    /// Adds a version unless it is the newest already. Assignments by name follow at once.
    pub async fn apply_pipeline(
        &self,
        caller: &Caller,
        text: &str,
        dry_run: bool,
    ) -> Result<Applied, Error> {
        let compiled = check(text).map_err(|problems| Error::Invalid {
            what: "the pipeline",
            problems,
        })?;
        let _turn = self.turn.lock().await;
        let versions = self
            .store
            .pipeline_versions(&caller.tenant, &compiled.name)
            .await?;
        if let Some(newest) = versions.first().filter(|v| v.hash == compiled.hash) {
            return Ok(Applied {
                pipeline: newest.clone(),
                created: false,
            });
        }
        let pipeline = Pipeline {
            tenant: caller.tenant.clone(),
            name: compiled.name.clone(),
            version: versions.first().map_or(1, |v| v.version + 1),
            hash: compiled.hash.clone(),
            description: compiled.document.metadata.description.clone(),
            document: text.to_owned(),
            created_ms: self.now_ms(),
            actor: caller.actor.clone(),
        };
        if !dry_run {
            self.add_version(caller, &pipeline).await?;
        }
        Ok(Applied {
            pipeline,
            created: true,
        })
    }

    async fn add_version(&self, caller: &Caller, pipeline: &Pipeline) -> Result<(), Error> {
        let mut changes = vec![Change::AddPipeline(pipeline.clone())];
        let mut events = vec![event(
            caller,
            format!("pipeline/{}", pipeline.name),
            "pipeline.created",
            json!({ "version": pipeline.version, "hash": pipeline.hash }),
        )];
        let before = self.store.assignments(&caller.tenant).await?;
        let mut after = before.clone();
        for assignment in &mut after {
            if assignment.spec.pipeline != pipeline.name || assignment.hash == pipeline.hash {
                continue;
            }
            self.refuse_quarantined(&caller.tenant, &pipeline.hash)
                .await?;
            let from = std::mem::replace(&mut assignment.hash, pipeline.hash.clone());
            assignment.updated_ms = self.now_ms();
            changes.push(Change::PutAssignment(assignment.clone()));
            changes.push(Change::AddAssignmentChange(AssignmentChange {
                tenant: caller.tenant.clone(),
                name: assignment.name.clone(),
                pipeline: assignment.spec.pipeline.clone(),
                hash: assignment.hash.clone(),
                priority: assignment.spec.priority,
                cause: "new-version".into(),
                actor: caller.actor.clone(),
                time_ms: self.now_ms(),
            }));
            events.push(event(
                caller,
                format!("assignment/{}", assignment.name),
                "assignment.changed",
                json!({ "from": from, "to": assignment.hash, "cause": "new-version" }),
            ));
        }
        self.end_disturbed(caller, &before, &after, None, &mut changes, &mut events)
            .await?;
        self.write(None, changes, events).await
    }

    /// The newest version of each.
    pub async fn pipelines(&self, tenant: &str) -> Result<Vec<Pipeline>, Error> {
        Ok(self.store.pipelines(tenant).await?)
    }

    /// Newest first.
    pub async fn pipeline_versions(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<Vec<Pipeline>, Error> {
        let versions = self.store.pipeline_versions(tenant, name).await?;
        if versions.is_empty() {
            return Err(Error::NotFound(format!("pipeline {name}")));
        }
        Ok(versions)
    }

    /// One version: the newest, or the one whose hash starts so.
    pub async fn pipeline(
        &self,
        tenant: &str,
        name: &str,
        hash: Option<&str>,
    ) -> Result<Pipeline, Error> {
        let versions = self.pipeline_versions(tenant, name).await?;
        let found = match hash {
            None => versions.into_iter().next(),
            Some(hash) => versions
                .into_iter()
                .find(|v| hash.len() >= 6 && v.hash.starts_with(hash)),
        };
        found.ok_or_else(|| {
            Error::NotFound(format!(
                "version {} of pipeline {name}",
                hash.unwrap_or_default()
            ))
        })
    }

    /// Unified text of what changed between two versions.
    pub async fn pipeline_diff(
        &self,
        tenant: &str,
        name: &str,
        from: &str,
        to: &str,
    ) -> Result<(Pipeline, Pipeline, String), Error> {
        let from = self.pipeline(tenant, name, Some(from)).await?;
        let to = self.pipeline(tenant, name, Some(to)).await?;
        let diff = similar::TextDiff::from_lines(&from.document, &to.document)
            .unified_diff()
            .header(&from.hash, &to.hash)
            .to_string();
        Ok((from, to, diff))
    }

    /// Removes all versions of a pipeline that nothing uses.
    pub async fn delete_pipeline(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let versions = self.pipeline_versions(&caller.tenant, name).await?;
        let uses = |reference: &str, hash: &str| {
            reference == name || versions.iter().any(|v| v.hash == hash)
        };
        for a in self.store.assignments(&caller.tenant).await? {
            if uses(&a.spec.pipeline, &a.hash) {
                return Err(Error::refused(
                    "pipeline-assigned",
                    format!(
                        "assignment {} uses pipeline {name}: delete it first",
                        a.name
                    ),
                ));
            }
        }
        for e in self.store.experiments(Some(&caller.tenant)).await? {
            let open = e.phase == Phase::Pending || e.is_live();
            if open
                && (uses(&e.spec.candidate, &e.candidate_hash)
                    || uses(
                        e.spec.baseline.as_deref().unwrap_or_default(),
                        e.baseline_hash.as_deref().unwrap_or_default(),
                    ))
            {
                return Err(Error::refused(
                    "pipeline-in-experiment",
                    format!("experiment {} uses pipeline {name}: abort it first", e.name),
                ));
            }
        }
        for agent in self.store.agents(Some(&caller.tenant)).await? {
            let fallback = agent.quarantine.iter().any(Quarantined::barred);
            if fallback && uses("", agent.healthy_hash.as_deref().unwrap_or_default()) {
                return Err(Error::refused(
                    "pipeline-in-use",
                    format!(
                        "agent {} refused what is assigned and keeps to pipeline {name}: \
                         assign something else first",
                        agent.identity.node
                    ),
                ));
            }
        }
        let changes = vec![Change::DropPipeline {
            tenant: caller.tenant.clone(),
            name: name.into(),
        }];
        let deleted = event(
            caller,
            format!("pipeline/{name}"),
            "pipeline.deleted",
            json!({ "versions": versions.len() }),
        );
        self.write(None, changes, vec![deleted]).await?;
        self.pipelines
            .retain(|(tenant, _), p| *tenant != caller.tenant || p.name != name);
        Ok(())
    }
}

/// The engine's answer, and what only the store minds.
fn check(text: &str) -> Result<Arc<phoenix_engine::compile::Pipeline>, Vec<Problem>> {
    let compiled = compile(text)?;
    if is_hash(&compiled.name) || compiled.name.is_empty() || compiled.name.contains('/') {
        return Err(vec![Problem {
            path: "metadata.name".into(),
            message: "write a name that is not empty, no hash and has no '/'".into(),
        }]);
    }
    Ok(compiled)
}
