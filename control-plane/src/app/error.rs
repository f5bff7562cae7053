//! What a use case can answer instead of a result. Codes are stable; messages are for people.

use crate::store;
use phoenix_engine::document::Problem;

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document has mistakes.
    #[error("{what} has {} problem(s)", problems.len())]
    Invalid {
        what: &'static str,
        problems: Vec<Problem>,
    },
    #[error("there is no {0}")]
    NotFound(String),
    /// Well-formed, but not now or not together with what is there.
    #[error("{message}")]
    Refused { code: &'static str, message: String },
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Error {
        Error::Refused {
            code,
            message: message.into(),
        }
    }

    /// One mistake of a document.
    pub(crate) fn invalid(what: &'static str, path: &str, message: impl Into<String>) -> Error {
        Error::Invalid {
            what,
            problems: vec![Problem {
                path: path.into(),
                message: message.into(),
            }],
        }
    }

    /// Stable, kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid-document",
            Error::NotFound(_) => "not-found",
            Error::Refused { code, .. } => code,
            Error::Store(store::Error::Conflict) => "conflict",
            Error::Store(store::Error::Fenced(_)) => "fenced",
            Error::Store(_) => "internal",
        }
    }
}
