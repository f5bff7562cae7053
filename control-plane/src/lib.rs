//! The control plane: store, API, push, experiment driver.

pub mod api;
pub mod app;
pub mod auth;
pub mod desired;
pub mod documents;
pub mod driver;
pub mod model;
pub mod push;
pub mod serve;
pub mod store;
pub mod witness;
