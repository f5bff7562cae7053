//! From what the server sent to what can run, or to every problem that stands against it.

use super::{Baseline, Candidate, Trial};
use crate::control::plans::Stored;
use phoenix_engine::compile::{self, Division, Pipeline, Plan};
use phoenix_engine::document::{Matcher, Problem, parse_matchers};
use phoenix_engine::query::Queries;
use phoenix_proto::control::{self as proto, ExperimentAssignment, Mode};
use std::sync::Arc;
use std::time::Duration;

type Problems = Vec<Problem>;

fn problem(path: &str, message: impl Into<String>) -> Problems {
    vec![Problem::new(path, message)]
}

/// The pipeline that changes nothing; proven by its nature.
pub(super) fn pass_through() -> Baseline {
    let plan = Plan::pass_through();
    Baseline {
        pipeline: plan.baseline.clone(),
        stored: None,
        plan,
        proven: true,
    }
}

pub(super) fn stored(pipeline: &proto::Pipeline) -> Stored {
    Stored {
        hash: pipeline.hash.clone(),
        name: pipeline.name.clone(),
        document: pipeline.document.clone(),
    }
}

/// The hash names what was judged and stored; another understanding of the text must not run.
fn pipeline(stored: &Stored) -> Result<Arc<Pipeline>, Problems> {
    let pipeline = compile::compile(&stored.document)?;
    if pipeline.hash != stored.hash {
        let text = format!(
            "this agent reads the document as {}; use agents and control plane of one version",
            pipeline.hash
        );
        return Err(problem("", text));
    }
    Ok(pipeline)
}

pub(super) fn baseline(stored: &Stored) -> Result<Baseline, Problems> {
    let pipeline = pipeline(stored)?;
    let plan = Plan::new(pipeline.clone(), None)?;
    Ok(Baseline {
        plan,
        pipeline,
        stored: Some(stored.clone()),
        proven: false,
    })
}

/// The candidate's hash comes with its problems, so that they can be reported.
pub(super) fn candidate(
    baseline: &Baseline,
    assignment: &ExperimentAssignment,
    present: Option<&Candidate>,
) -> Result<Candidate, (String, Problems)> {
    let Some(wanted) = &assignment.candidate else {
        let problems = problem("experiment.candidate", "no candidate was sent");
        return Err((String::new(), problems));
    };
    let refuse = |problems| (wanted.hash.clone(), problems);
    let key = key(assignment);
    let same_baseline =
        |c: &&Candidate| Arc::ptr_eq(&c.plan.baseline, &baseline.pipeline) && c.key == key;
    if let Some(present) = present.filter(same_baseline) {
        return Ok(present.clone());
    }
    let pipeline = match present.filter(|c| c.hash == wanted.hash) {
        Some(present) => present.pipeline.clone(),
        None => pipeline(&stored(wanted)).map_err(refuse)?,
    };
    let arm = compile::Candidate {
        pipeline: pipeline.clone(),
        experiment: assignment.experiment.clone(),
        division: division(assignment).map_err(refuse)?,
        protect: matchers("protect", &assignment.protect).map_err(refuse)?,
        scope: matchers("scope", &assignment.scope).map_err(refuse)?,
    };
    let plan = Plan::new(baseline.pipeline.clone(), Some(arm)).map_err(refuse)?;
    let plan = plan.asked(queries(assignment).map_err(refuse)?);
    let plan = plan.map_err(under_queries).map_err(refuse)?;
    let window = Duration::from_millis(assignment.window_ms.into());
    if window.is_zero() {
        return Err(refuse(problem(
            "experiment.window",
            "a window of no length",
        )));
    }
    Ok(Candidate {
        key,
        hash: wanted.hash.clone(),
        pipeline,
        plan,
        trial: Trial {
            id: assignment.experiment.clone(),
            revision: assignment.experiment_revision,
            window,
            guardrails: assignment.guardrails.unwrap_or_default(),
        },
    })
}

/// What makes two assignments the same arm: everything but the lease and the text behind the hash.
fn key(assignment: &ExperimentAssignment) -> ExperimentAssignment {
    let mut key = assignment.clone();
    key.lease_ms = 0;
    if let Some(candidate) = &mut key.candidate {
        candidate.document.clear();
    }
    key
}

fn division(assignment: &ExperimentAssignment) -> Result<Division, Problems> {
    match assignment.mode() {
        Mode::Shadow => Ok(Division::Shadow),
        Mode::Split => Ok(Division::Split {
            entity: assignment.entity.clone(),
            percent: assignment.percent,
        }),
        Mode::Unspecified => Err(problem(
            "experiment.mode",
            "this agent knows shadow and split; use agents and control plane of one version",
        )),
    }
}

fn matchers(field: &str, text: &str) -> Result<Vec<Matcher>, Problems> {
    parse_matchers(text).map_err(|problems| {
        let under = |p: Problem| Problem::new(format!("experiment.{field}{}", p.path), p.message);
        problems.into_iter().map(under).collect()
    })
}

fn queries(assignment: &ExperimentAssignment) -> Result<Queries, Problems> {
    let queries = Queries::parse(&assignment.queries).map_err(under_queries)?;
    let steps = queries.step_ms > 0;
    Ok(Queries {
        volume: queries.volume || (steps && assignment.query_volume),
        ..queries
    })
}

fn under_queries(problems: Problems) -> Problems {
    let under = |p: Problem| Problem::new(format!("experiment.queries{}", p.path), p.message);
    problems.into_iter().map(under).collect()
}
