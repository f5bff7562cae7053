//! All tests of the whole product, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod scenarios;
mod tidy;
