//! `kind: Assignment`: a selector of agent labels -> a pipeline, with a priority.

use super::parse::{Document, parse};
use super::{Selector, check_name, problem};
use phoenix_engine::document::Problem;
use serde::{Deserialize, Serialize};

/// `spec` of an assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignmentSpec {
    #[serde(default)]
    pub selector: Selector,
    /// A name follows the newest version of that pipeline; a hash pins one.
    pub pipeline: String,
    /// The highest match wins; a tie is refused when it is applied.
    #[serde(default)]
    pub priority: i64,
}

/// Reads an assignment from YAML or JSON.
///
/// # Errors
/// Every problem found, with its path.
pub fn parse_assignment(text: &str) -> Result<Document<AssignmentSpec>, Vec<Problem>> {
    let document: Document<AssignmentSpec> = parse(text, "Assignment")?;
    let mut problems = Vec::new();
    check_name("metadata.name", &document.metadata.name, &mut problems);
    if document.spec.pipeline.is_empty() {
        problems.push(problem(
            "spec.pipeline",
            "write the name or the hash of a pipeline",
        ));
    }
    if problems.is_empty() {
        Ok(document)
    } else {
        Err(problems)
    }
}
