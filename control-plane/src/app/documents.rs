//! The documents that decide what agents run, read once per change.

use super::{App, Error};
use crate::model::{Assignment, Experiment};
use dashmap::DashMap;
use std::sync::Arc;

/// Assignments and experiments of a tenant.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub assignments: Vec<Assignment>,
    pub experiments: Vec<Experiment>,
}

/// By tenant: what was read, and the count of changes at that time.
pub(super) type Cache = DashMap<String, (u64, Arc<Documents>)>;

impl App {
    /// As they are now.
    pub(super) async fn current(&self, tenant: &str) -> Result<Arc<Documents>, Error> {
        // Counted before reading: what changes meanwhile is read again next time.
        let changes = *self.documents.borrow();
        if let Some(known) = self.current.get(tenant)
            && known.0 == changes
        {
            return Ok(known.1.clone());
        }
        let read = Arc::new(Documents {
            assignments: self.store.assignments(tenant).await?,
            experiments: self.store.experiments(Some(tenant)).await?,
        });
        self.current
            .insert(tenant.to_owned(), (changes, read.clone()));
        Ok(read)
    }
}
