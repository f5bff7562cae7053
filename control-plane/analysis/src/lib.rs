//! Statistics and the judge: windows and criteria in, a verdict with reasons out.
//!
//! Pure: no clock, network, file or thread. The same windows give the same verdict, in any order, so
//! whatever a verdict was based on can be judged again.

pub mod confidence;
pub mod criteria;
pub mod judge;
pub mod prices;
pub mod query;
pub mod stats;
pub mod verdict;
pub mod window;
pub mod witness;

pub use criteria::{Ask, Criteria, Died, Goal, Guardrails, Measure, Mode, Money, ProtectedQuery};
pub use judge::{JUDGE_VERSION, comparable, judge};
pub use verdict::{Criterion, Outcome, Ruling, Saving, Savings, Verdict};
pub use window::{
    Arm, Attribute, Cardinality, Context, Latency, Metric, Protected, Stage, Volume, Window,
};
