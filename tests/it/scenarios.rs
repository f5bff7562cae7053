//! The product's own binaries, as a user runs them.

mod counters;
mod deaths;
mod demo;
mod experiments;
mod guardrails;
mod image;
mod limits;
mod manifest;
mod money;
mod outages;
mod peers;
mod promql;
mod queries;
mod restarts;
mod same_work;
mod scopes;
mod swaps;
mod witness;
mod world;
