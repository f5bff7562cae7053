//! Reading what happened.

use super::{App, Error};
use crate::model::Event;
use crate::store::EventRange;
use tokio::sync::watch;

impl App {
    /// Oldest first.
    pub async fn events(&self, tenant: &str, range: EventRange) -> Result<Vec<Event>, Error> {
        Ok(self.store.events(tenant, range).await?)
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
