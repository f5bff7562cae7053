//! Protected queries and alert rules: divided between agents and server, evaluated on what both arms
//! wrote, and compared.
//!
//! What is evaluated of PromQL is in docs/queries.md. Everything else is "not checked", which is never a
//! pass: [`Fault::Unsupported`].

pub mod alerts;
pub mod ast;
pub mod compare;
pub mod eval;
pub mod fleet;
mod lexer;
pub mod parse;
pub mod plan;
mod quantile;
pub mod rules;
pub mod vector;
pub mod write;

pub use plan::{Asked, Expr, ask};

/// Why a query cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no PromQL.
    #[error("no PromQL: {0}")]
    Syntax(String),
    /// It holds what is not evaluated here.
    #[error("not checked: {0}")]
    Unsupported(String),
}

impl Fault {
    /// `what` is not evaluated.
    pub fn unsupported(what: &str) -> Fault {
        Fault::Unsupported(format!("{what} is not evaluated"))
    }
}
