//! The judge on windows with a known truth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod examples;
mod money;
mod properties;
mod queries;
mod schema;
mod simulate;
mod steps;
mod world;
