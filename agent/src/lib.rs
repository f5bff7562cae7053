//! The agent: receivers, worker, exporters, control client around the engine.

pub mod admin;
pub mod capture;
pub mod clock;
pub mod control;
pub mod exporters;
pub mod guard;
pub mod host;
pub mod json;
pub mod limits;
pub mod memory;
pub mod pipeline_file;
pub mod process;
pub mod receivers;
pub mod remote_write;
pub mod rpc;
pub mod settings;
pub mod worker;
