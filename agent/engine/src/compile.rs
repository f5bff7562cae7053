//! Documents become pipelines, pipelines become a plan. Nothing that compiled can fail to apply.

use crate::document::{Document, Matcher, Problem};
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
}

/// Parses and compiles one pipeline document (YAML or JSON text).
///
/// # Errors
/// Every problem of the document at once, each with its path.
pub fn compile(text: &str) -> Result<Arc<Pipeline>, Vec<Problem>> {
    let document = crate::document::parse(text)?;
    Ok(Arc::new(Pipeline {
        name: document.metadata.name.clone(),
        hash: document.hash(),
        document,
    }))
}

impl Pipeline {
    /// The pipeline that changes nothing (`stages: []`), run where no plan is assigned.
    pub fn pass_through() -> Arc<Pipeline> {
        unimplemented_pass_through()
    }
}

fn unimplemented_pass_through() -> Arc<Pipeline> {
    let document = Document::default();
    Arc::new(Pipeline {
        name: String::new(),
        hash: document.hash(),
        document,
    })
}

/// How traffic is divided between the arms of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub enum Division {
    /// Both arms see everything; only the baseline's output leaves the node.
    Shadow,
    /// Each entity goes to exactly one arm, by hash of its key attributes.
    Split {
        /// Attribute keys of the entity.
        entity: Vec<String>,
        /// The candidate's share of entities, 0 < percent < 100.
        percent: f64,
    },
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
}

/// What an agent runs.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline of the baseline arm.
    pub baseline: Arc<Pipeline>,
    /// The other arm while an experiment runs.
    pub candidate: Option<Candidate>,
}

impl Plan {
    /// A plan of one pipeline or of two arms.
    ///
    /// # Errors
    /// A split whose output does not keep its entity key attributes, naming the stage.
    pub fn new(
        baseline: Arc<Pipeline>,
        candidate: Option<Candidate>,
    ) -> Result<Arc<Plan>, Vec<Problem>> {
        Ok(Arc::new(Plan {
            baseline,
            candidate,
        }))
    }
}
