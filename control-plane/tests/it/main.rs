//! The control plane as its users meet it: a real server on a free port, a REST client, and a gRPC
//! client that plays the agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agents;
mod assignments;
mod deaths;
mod doors;
mod events;
mod experiments;
mod openapi;
mod pipelines;
mod restart;
mod support;
mod taken_back;
mod tls;
mod windows;
mod witness;
