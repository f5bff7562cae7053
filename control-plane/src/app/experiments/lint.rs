//! What can be known of an experiment before anything runs.

use super::Member;
use crate::app::{App, Error};
use crate::model::Experiment;
use phoenix_engine::compile::Pipeline;
use phoenix_engine::document::Problem;

impl App {
    /// Everything that stands against an experiment: pipelines that do not compile, a split that cannot
    /// be divided, a goal that cannot be reached.
    pub async fn lint(&self, e: &Experiment, members: &[Member]) -> Result<Vec<Problem>, Error> {
        let mut problems = Vec::new();
        let mut keep = |path: &str, found: Result<(), Error>| match found {
            Ok(()) => Ok(()),
            Err(Error::Invalid { problems: more, .. }) => {
                problems.extend(more.into_iter().map(|p| Problem {
                    path: match p.path.is_empty() {
                        true => path.to_owned(),
                        false => format!("{path}.{}", p.path),
                    },
                    ..p
                }));
                Ok(())
            }
            Err(other) => Err(other),
        };
        let baseline = e.baseline_hash.as_deref();
        if let Some(hash) = baseline {
            let compiled = self.compiled(&e.tenant, hash).await;
            keep("baseline", compiled.map(|_| ()))?;
        }
        let candidate = self.compiled(&e.tenant, &e.candidate_hash).await;
        let cuts = candidate.as_ref().map_or(true, |p| cuts(p));
        keep("candidate", candidate.map(|_| ()))?;
        let split = self
            .check_split(&e.tenant, &e.spec, baseline, &e.candidate_hash)
            .await;
        keep("steps", split)?;
        if !cuts {
            problems.push(Problem {
                path: "spec.goal".into(),
                message: "the candidate has no stage: it can save nothing".into(),
            });
        }
        let ours = env!("CARGO_PKG_VERSION");
        for member in members.iter().filter(|m| m.connected) {
            let theirs = &member.agent.version;
            if newer(ours, theirs) {
                problems.push(Problem {
                    path: format!("agent {}", member.agent.identity.node),
                    message: format!(
                        "version {theirs} is older than the control plane ({ours}), which cannot tell \
                         whether it compiles there: update the agent"
                    ),
                });
            }
        }
        Ok(problems)
    }
}

fn cuts(pipeline: &Pipeline) -> bool {
    !pipeline.stages.is_empty()
}

/// Whether `ours` is a later version than `theirs`, both as `1.2.3`; false where one is not.
fn newer(ours: &str, theirs: &str) -> bool {
    let read = |text: &str| -> Option<Vec<u64>> {
        let core = text.split(['-', '+']).next()?;
        core.split('.').map(|part| part.parse().ok()).collect()
    };
    match (read(ours), read(theirs)) {
        (Some(ours), Some(theirs)) => ours > theirs,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (ours, theirs, expected) in [
            ("0.10.0", "0.9.1", true),
            ("0.9.1", "0.10.0", false),
            ("0.1.0", "0.1.0", false),
            ("0.1.0", "0.1.0-dev", false),
            ("0.1.0", "unknown", false),
        ] {
            assert_eq!(newer(ours, theirs), expected, "{ours} {theirs}");
        }
    }
}
