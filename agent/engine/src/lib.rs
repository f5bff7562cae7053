//! The product's heart: bytes + plan + now in, bytes + ledger + summaries out.
//!
//! Pure: no async, clock, network, file, thread or global. Same calls, same bytes out.
//! Callers: the agent's worker, `phoenix replay`, the tests.

pub mod compile;
pub mod document;
pub mod engine;
pub mod identity;
pub mod ledger;
pub mod matcher;
pub mod report;
pub mod sketch;
pub mod view;
pub mod wire;
pub mod yaml;

/// Nanoseconds since the Unix epoch, as in OTLP.
pub type Nanos = u64;
