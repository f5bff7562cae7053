//! Harness for scenarios that run the real binaries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The reference model is written to be read beside the rules, not for size or speed.
#![allow(
    clippy::large_enum_variant,
    clippy::too_many_arguments,
    clippy::type_complexity
)]

pub mod harness;
pub mod reference;
pub mod traffic;
