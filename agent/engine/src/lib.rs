//! The product's heart: bytes + plan + now in, bytes + ledger + summaries out.
//!
//! Pure: no async, clock, network, file, thread or global. Same calls, same bytes out.
//! Callers: the agent's worker, `phoenix replay`, the tests.

pub mod aggregate;
mod arm;
pub mod compile;
pub mod deal;
pub mod document;
pub mod engine;
mod explain;
pub mod identity;
pub mod input;
pub mod ledger;
pub mod matcher;
pub mod prometheus;
pub mod query;
pub mod report;
mod route;
mod series;
pub mod sketch;
mod slab;
mod splice;
mod stage;
pub mod view;
pub mod wire;
pub mod yaml;

/// Nanoseconds since the Unix epoch, as in OTLP.
pub type Nanos = u64;
