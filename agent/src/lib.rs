//! The agent: receivers, worker, exporters, control client around the engine.
pub mod json;
pub mod control;
