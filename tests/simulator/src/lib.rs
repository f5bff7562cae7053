//! Seeded fleets and workloads with known truth, and a sink that counts what arrives.
//!
//! Used as a library by the scenarios, and through the `phoenix-simulator` binary by the demo, the
//! benchmarks and anyone who wants a load whose right answer is known.

pub mod fleet;
pub mod identity;
pub mod sender;
pub mod sink;
pub mod truth;
