//! Harness for scenarios that run the real binaries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod harness;
