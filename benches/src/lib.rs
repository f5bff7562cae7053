//! What benchmarks share: real requests from the captures, and the whole-process run.

pub mod load;
pub mod process;
pub mod requests;
