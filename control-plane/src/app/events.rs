//! Reading what happened.

use super::{App, Error};
use crate::model::Event;
use tokio::sync::watch;

impl App {
    /// After a sequence, oldest first.
    pub async fn events(&self, tenant: &str, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        Ok(self.store.events(tenant, after, limit).await?)
    }

    /// Sequence of the newest event.
    pub async fn last_event(&self, tenant: &str) -> Result<u64, Error> {
        Ok(self.store.last_event(tenant).await?)
    }

    /// Wakes at every event.
    pub fn events_changed(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }
}
