//! Rows of the rules of correctness, through one aggregation, with values worked out by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod cumulative;
mod gauges;
mod histograms;
mod limits;
mod places;
mod swaps;
mod windows;
