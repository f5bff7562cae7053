//! Texts to match, as they are written: one, or a list of which one must match.

use super::schema::OneOrMany;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// Exact texts, globs (`*`, `?`) and expressions (`/regex/`, over the whole value), any of which may
/// match. Kept sorted and without repeats: their order means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Any of these texts.
    pub fn any_of(mut texts: Vec<String>) -> Patterns {
        texts.sort_unstable();
        texts.dedup();
        Patterns(texts)
    }

    /// The texts, sorted.
    pub fn texts(&self) -> &[String] {
        &self.0
    }

    /// The one text that can match, if there is just one.
    pub fn only_exact(&self) -> Option<String> {
        match self.0.as_slice() {
            [text] => match crate::matcher::pattern::Pattern::parse(text) {
                Ok(crate::matcher::pattern::Pattern::Exact(text)) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Serialize for Patterns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::stages::one_or_many(&self.0, serializer)
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> Cow<'static, str> {
        "Patterns".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = OneOrMany::<Text>::json_schema(generator);
        schema.insert(
            "description".into(),
            "Exact text, a glob (* and ?), or /regex/ over the whole value; or a list of these. A number or true/false \
             stands for its text."
                .into(),
        );
        schema
    }
}

/// A text, or a whole number or truth value that stands for its text.
struct Text;

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}
