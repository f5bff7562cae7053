//! A plan: one pipeline, or two arms and how traffic is divided between them.

use super::{Action, Filter, Pipeline, scope};
use crate::Nanos;
use crate::document::{self, Matcher, Problem};
use crate::query::Queries;
use crate::query::select::Compiled;
use std::sync::Arc;

/// How traffic is divided between the arms of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub enum Division {
    /// Both arms see everything; only the baseline's output leaves the node.
    Shadow,
    /// Each entity goes to exactly one arm, by hash of its key attributes.
    Split {
        /// Attribute keys of the entity; without any the node is the unit.
        entity: Vec<String>,
        /// The candidate's share of entities, 0 < percent < 100. Of a node: 100 (the candidate takes
        /// all) or 0 (the baseline does).
        percent: f64,
    },
}

impl Division {
    /// Whether the candidate takes any of this node's points.
    pub fn takes_points(&self) -> bool {
        match self {
            Division::Shadow => true,
            Division::Split { percent, .. } => *percent > 0.0,
        }
    }
}

/// The second arm of a plan.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the candidate arm runs.
    pub pipeline: Arc<Pipeline>,
    /// The experiment's unique id; seeds the split.
    pub experiment: String,
    /// Split or shadow.
    pub division: Division,
    /// Measured as protected on both arms, beside the baseline's own `protect`.
    pub protect: Vec<Matcher>,
    /// Series that none of these matches run on the baseline alone and are outside the comparison;
    /// without any all are inside.
    pub scope: Vec<Matcher>,
}

/// What an agent runs.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline of the baseline arm.
    pub baseline: Arc<Pipeline>,
    /// The other arm while an experiment runs.
    pub candidate: Option<Candidate>,
    /// What is evaluated on what both arms write; `None`: nothing.
    pub queries: Option<Arc<Compiled>>,
}

impl Plan {
    /// A plan of one pipeline or of two arms.
    ///
    /// # Errors
    /// A split whose output does not keep its entity key attributes, or a scope whose keys or names a
    /// stage does not keep, naming the stage; a share or an entity that divides nothing. Paths begin with `baseline` or `candidate`, or are a field of the
    /// experiment.
    pub fn new(
        baseline: Arc<Pipeline>,
        candidate: Option<Candidate>,
    ) -> Result<Arc<Plan>, Vec<Problem>> {
        let mut problems = Vec::new();
        if let Some(Candidate {
            pipeline,
            division: Division::Split { entity, percent },
            ..
        }) = &candidate
        {
            let whole = *percent == 0.0 || *percent == 100.0;
            if entity.is_empty() && !whole {
                problems.push(Problem::new(
                    "entity",
                    format!(
                        "{percent} % of a node needs an entity to divide by: write its attribute keys, such as \
                         [host.name, process.pid], or percent 0 or 100 for the node as a whole"
                    ),
                ));
            }
            // Not a number is none of both.
            let divides = *percent > 0.0 && *percent < 100.0;
            if !entity.is_empty() && !divides {
                problems.push(Problem::new(
                    "percent",
                    format!("{percent} is not a share: write a number above 0 and below 100"),
                ));
            }
            for (arm, pipeline) in [("baseline", &baseline), ("candidate", pipeline)] {
                problems.extend(lost_entities(arm, pipeline, entity));
                problems.extend(changed_entities(arm, pipeline, entity));
            }
        }
        if let Some(candidate) = &candidate {
            for (arm, pipeline) in [("baseline", &baseline), ("candidate", &candidate.pipeline)] {
                problems.extend(scope::problems(arm, pipeline, &candidate.scope));
            }
        }
        if problems.is_empty() {
            Ok(Arc::new(Plan {
                baseline,
                candidate,
                queries: None,
            }))
        } else {
            Err(problems)
        }
    }

    /// The same with queries on what both arms write.
    ///
    /// # Errors
    /// A matcher that cannot be read.
    pub fn asked(&self, queries: Queries) -> Result<Arc<Plan>, Vec<Problem>> {
        let queries = match queries.is_empty() {
            true => None,
            false => Some(Arc::new(Compiled::new(queries)?)),
        };
        Ok(Arc::new(Plan {
            baseline: self.baseline.clone(),
            candidate: self.candidate.clone(),
            queries,
        }))
    }

    /// Whether there is a candidate that takes any of this node's points: what it is may be harmed by it.
    pub fn is_tried(&self) -> bool {
        let candidate = self.candidate.as_ref();
        candidate.is_some_and(|candidate| candidate.division.takes_points())
    }

    /// How long outputs may lag: the longest window with its lateness, and the longest lateness, of
    /// all stages of both arms.
    pub fn lag(&self) -> (Nanos, Nanos) {
        let candidate = self.candidate.as_ref().map(|c| &c.pipeline);
        let pipelines = std::iter::once(&self.baseline).chain(candidate);
        pipelines
            .flat_map(|pipeline| &pipeline.stages)
            .map(|stage| stage.waits())
            .fold((0, 0), |(window, late), (w, l)| {
                (window.max(w + l), late.max(l))
            })
    }

    /// The plan that passes everything through.
    pub fn pass_through() -> Arc<Plan> {
        Arc::new(Plan {
            baseline: Pipeline::pass_through(),
            candidate: None,
            queries: None,
        })
    }
}

/// A transform that changes an entity key could give series of both arms one identity.
fn changed_entities(arm: &str, pipeline: &Pipeline, entity: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, stage) in pipeline.document.spec.stages.iter().enumerate() {
        let document::Action::Transform(transform) = &stage.action else {
            continue;
        };
        let keys = transform.ops.iter().flat_map(document::Operation::keys);
        let changed: Vec<&str> = keys.filter(|key| entity.iter().any(|e| e == key)).collect();
        if !changed.is_empty() {
            problems.push(Problem::new(
                format!("{arm}.spec.stages[{index}].transform"),
                format!(
                    "stage `{}` of pipeline `{}` changes {}, which the split divides by: both arms could write the same \
                     series. Leave the key alone, divide by another entity, or use shadow",
                    stage.id,
                    pipeline.name,
                    changed.join(", ")
                ),
            ));
        }
    }
    problems
}

/// An aggregation that removes an entity key would write one series from both arms.
fn lost_entities(arm: &str, pipeline: &Pipeline, entity: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        if let Action::Filter(Filter::Entities(filter)) = &stage.action {
            let foreign = |key: &&String| !filter.entity.contains(key);
            let foreign: Vec<&str> = entity.iter().filter(foreign).map(String::as_str).collect();
            if !foreign.is_empty() {
                problems.push(Problem::new(
                    format!("{arm}.spec.stages[{index}].filter.entity"),
                    format!(
                        "stage `{}` of pipeline `{}` decides about entities that the split can divide by {}: each arm \
                         would measure a part. Add the key to the filter's entity, divide by another, or use shadow",
                        stage.id,
                        pipeline.name,
                        foreign.join(", ")
                    ),
                ));
            }
        }
        let keeps = |key: &&str| match &stage.action {
            Action::Aggregate(aggregate) => aggregate.keys.keeps(key),
            Action::Fold(fold) => fold.keeps(key),
            _ => true,
        };
        let lost: Vec<&str> = entity
            .iter()
            .map(String::as_str)
            .filter(|key| !keeps(key))
            .collect();
        if !lost.is_empty() {
            problems.push(Problem::new(
                format!("{arm}.spec.stages[{index}].{}", stage.kind()),
                format!(
                    "stage `{}` of pipeline `{}` removes {}, which the split divides by: both arms would write the same \
                     series. Keep the key, divide by another entity, or use shadow",
                    stage.id,
                    pipeline.name,
                    lost.join(", ")
                ),
            ));
        }
    }
    problems
}
