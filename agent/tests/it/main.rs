//! The agent from outside: real clients in front, a real server that misbehaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod delivery;
mod drain;
mod files;
mod http;
mod proxy;
mod remote_write;
mod settings;
mod support;
mod tls;
mod windows;
mod workers;
