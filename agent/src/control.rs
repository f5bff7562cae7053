//! The client of the push protocol: takes desired states, answers with what became of them, reports.
//!
//! `machine` decides and is pure; `session` does what it says; `link` keeps the stream; `plans` and
//! `credential` are the state folder; `outbox` keeps window reports until they are acknowledged;
//! `convert` writes the engine's figures as messages.

pub mod convert;
pub mod machine;
pub mod outbox;
pub mod plans;
