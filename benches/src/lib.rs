//! What benchmarks share: the made stream, real requests from the captures, and the whole-process run.

pub mod fed;
pub mod load;
pub mod process;
pub mod requests;
pub mod resident;
pub mod rows;
pub mod shadow;
pub mod sink;
pub mod stream;
