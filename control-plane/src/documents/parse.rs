//! The envelope that every document shares.

use super::problem;
use phoenix_engine::document::{Metadata, Problem, from_yaml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `apiVersion`, `kind`, `metadata`, `spec`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document<S> {
    pub api_version: String,
    pub kind: String,
    pub metadata: Metadata,
    pub spec: S,
}

/// The one version there is.
const API_VERSION: &str = "phoenix/v1";

pub(super) fn parse<S: DeserializeOwned>(
    text: &str,
    kind: &str,
) -> Result<Document<S>, Vec<Problem>> {
    let document: Document<S> = from_yaml(text)?;
    let mut problems = Vec::new();
    check_envelope(&document, kind, &mut problems);
    if problems.is_empty() {
        Ok(document)
    } else {
        Err(problems)
    }
}

/// Version and kind.
pub(super) fn check_envelope<S>(document: &Document<S>, kind: &str, problems: &mut Vec<Problem>) {
    if document.api_version != API_VERSION {
        problems.push(problem("apiVersion", format!("write {API_VERSION}")));
    }
    if document.kind != kind {
        problems.push(problem(
            "kind",
            format!("{:?} where {kind} is expected", document.kind),
        ));
    }
}
