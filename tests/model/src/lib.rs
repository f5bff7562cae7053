//! The reference model of the rules, and the traffic that tries the engine against it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The model is written to be read beside the rules, not for size or speed.
#![allow(
    clippy::large_enum_variant,
    clippy::too_many_arguments,
    clippy::type_complexity
)]

pub mod reference;
pub mod traffic;
