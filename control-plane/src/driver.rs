//! The experiment loop: carries experiments through their phases under a lease.

use crate::app::App;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Starts the loop; it ends when `shutdown` is cancelled.
pub fn spawn(_app: Arc<App>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move { shutdown.cancelled().await })
}
