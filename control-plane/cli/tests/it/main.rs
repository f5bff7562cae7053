//! The `phoenix` command from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actor;
mod commands;
mod control_plane_template;
mod experiments;
mod prices;
mod replay;
mod server;
mod support;
mod validate;
