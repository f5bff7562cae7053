//! Documents become pipelines, pipelines become a plan. Nothing that compiled can fail to apply.

mod filter;
mod fold;
mod functions;
mod held;
mod overlap;
mod plan;
mod rewrite;
mod scope;
mod stages;
mod transform;
mod uniqueness;
mod unmeasured;

pub use filter::{Decision, Entities, Filter, Rule, Rules};
pub use fold::{Decide, Fold, Limit, Mark, Merge, Topk};
pub use functions::Functions;
pub use plan::{Candidate, Division, Plan};
pub use rewrite::{Op, Rewrite};
pub use stages::{Action, Aggregate, Band, Keys, Method, Rename, Sample, Stage};
pub use stages::{EXTRACTED_COUNT, EXTRACTED_SUM};
#[cfg(test)]
pub(crate) use transform::any_value;
pub(crate) use transform::key_value;
pub use transform::{Change, Merged, NewName, Normalise, Piece, Replace, Step, Transform};

use crate::document::{Document, Match, Matcher, Problem};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compiled pipeline: immutable, shared between threads.
#[derive(Debug)]
pub struct Pipeline {
    /// `metadata.name`.
    pub name: String,
    /// SHA-256 of the canonical form, lower-case hex.
    pub hash: String,
    /// The document as it was understood.
    pub document: Document,
    /// `spec.protect`: a series that matches one of these passes on its own.
    pub protect: Vec<Matcher>,
    /// `spec.stages`, in document order.
    pub stages: Vec<Stage>,
}

/// Parses and compiles one pipeline document (YAML or JSON text).
///
/// # Errors
/// Every problem of the document at once, each with its path.
pub fn compile(text: &str) -> Result<Arc<Pipeline>, Vec<Problem>> {
    let draft = crate::document::draft(text);
    let mut problems = draft.problems;
    // Of a stage that is wrong by itself nobody knows what it was to write.
    let wrong: BTreeSet<usize> = problems.iter().filter_map(stage_of).collect();
    let stages: Vec<_> = draft
        .places
        .iter()
        .zip(&draft.document.spec.stages)
        .map(|(place, stage)| (*place, stage.id.as_str(), &stage.action))
        .filter(|(place, ..)| !wrong.contains(place))
        .collect();
    problems.extend(overlap::find(&stages));
    problems.extend(held::find(&stages));
    let rules_wrong = problems.iter().any(|p| p.path.starts_with("spec.protect"));
    let protect = match rules_wrong {
        true => &[],
        false => &draft.document.spec.protect[..],
    };
    let whole = protects_all(protect);
    // Told once, not again of each stage.
    let protect = if whole.is_some() { &[] } else { protect };
    problems.extend(whole);
    problems.extend(unmeasured::find(&stages, protect));
    // Nor whether it would have added up what a transform before it makes one.
    let behind = |(place, ..): &&(usize, _, _)| wrong.last().is_none_or(|last| place > last);
    let stages: Vec<_> = stages.iter().filter(behind).copied().collect();
    problems.extend(uniqueness::find(&stages));
    if !problems.is_empty() {
        return Err(problems);
    }
    build(draft.document)
}

/// A rule of `protect` that leaves the stages nothing to do.
fn protects_all(protect: &[Match]) -> Option<Problem> {
    let index = protect.iter().position(Match::is_any)?;
    Some(Problem::new(
        format!("spec.protect[{index}]"),
        "it holds every series, and what is protected passes every stage untouched: name what must stay as it is",
    ))
}

/// Index of the stage that a problem is in.
fn stage_of(problem: &Problem) -> Option<usize> {
    let (index, _) = problem.path.strip_prefix("spec.stages[")?.split_once(']')?;
    index.parse().ok()
}

fn build(document: Document) -> Result<Arc<Pipeline>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut protect = Vec::with_capacity(document.spec.protect.len());
    for (index, rule) in document.spec.protect.iter().enumerate() {
        let path = format!("spec.protect[{index}]");
        protect.extend(Matcher::compile(rule, &path, &mut problems));
    }
    let mut stages = Vec::with_capacity(document.spec.stages.len());
    let mut longest = 0;
    for (index, stage) in document.spec.stages.iter().enumerate() {
        let path = format!("spec.stages[{index}]");
        if let Some(mut stage) = Stage::compile(stage, &path, &mut problems) {
            stage.wait_for(longest);
            longest = longest.max(stage.waits().1);
            stages.push(stage);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    uniqueness::mark(&document.spec.stages, &mut stages);
    Ok(Arc::new(Pipeline {
        name: document.metadata.name.clone(),
        hash: document.hash(),
        document,
        protect,
        stages,
    }))
}

impl Pipeline {
    /// The pipeline that changes nothing (`stages: []`), run where no plan is assigned. It has no
    /// name.
    pub fn pass_through() -> Arc<Pipeline> {
        let document = Document::default();
        Arc::new(Pipeline {
            name: String::new(),
            hash: document.hash(),
            document,
            protect: Vec::new(),
            stages: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
