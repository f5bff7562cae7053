//! The control plane: store, API, push, experiment driver.
