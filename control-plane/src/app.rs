//! The use cases: the only caller of store writes. API, push and driver are doors to it.

mod agents;
mod assignments;
mod documents;
mod error;
mod events;
pub mod experiments;
mod live;
mod pipelines;
mod plan;
mod quarantine;

pub use agents::AgentView;
pub use assignments::RolledBack;
pub use error::Error;
pub use live::{Live, Session};
pub use pipelines::{Applied, Validation};

use crate::model::{Fence, Identity, NewEvent, Pipeline};
use crate::store::{Change, Commit, LeaseRequest, Meta, Store};
use dashmap::DashMap;
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard, watch};

/// Milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The wall clock.
pub fn wall_clock() -> Clock {
    Arc::new(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    })
}

/// Agents whose rows are written at the same time.
const LANES: usize = 256;

/// Times that the agents are told.
#[derive(Debug, Clone)]
pub struct Timing {
    /// A candidate runs until this long after the last word of the server.
    pub lease_ms: u32,
    /// A plan is healthy after it ran this long without harm.
    pub bake_ms: u32,
}

/// Who asks, and for which tenant.
#[derive(Debug, Clone)]
pub struct Caller {
    pub tenant: String,
    pub actor: String,
}

/// The use cases and what they share.
pub struct App {
    store: Arc<dyn Store>,
    meta: Meta,
    timing: Timing,
    clock: Clock,
    /// Documents are changed one at a time: the rows' counts guard against other replicas, this
    /// against ourselves. Never awaited while a lane is held.
    turn: Mutex<()>,
    /// The same for the row of an agent; many agents are served at once.
    lanes: Vec<Mutex<()>>,
    /// Sequence of the newest event.
    events: watch::Sender<u64>,
    /// Grows when what agents are to run may have changed.
    documents: watch::Sender<u64>,
    current: documents::Cache,
    /// Pipelines never change, so they are read once.
    pipelines: DashMap<(String, String), Arc<Pipeline>>,
    live: Live,
    /// Names this process in leases.
    holder: String,
    /// When this process began.
    began_ms: u64,
}

impl App {
    pub async fn new(
        store: Arc<dyn Store>,
        timing: Timing,
        clock: Clock,
    ) -> Result<Arc<App>, Error> {
        let meta = store.meta().await?;
        let began_ms = clock();
        Ok(Arc::new(App {
            began_ms,
            store,
            meta,
            timing,
            clock,
            turn: Mutex::new(()),
            lanes: (0..LANES).map(|_| Mutex::new(())).collect(),
            events: watch::Sender::new(0),
            documents: watch::Sender::new(0),
            current: documents::Cache::default(),
            pipelines: DashMap::new(),
            live: Live::default(),
            holder: uuid::Uuid::new_v4().to_string(),
        }))
    }

    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// When this process began: agents may still be on their way back to it.
    pub fn began_ms(&self) -> u64 {
        self.began_ms
    }

    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Sessions and heartbeats: in memory only.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Takes or renews the lease of a background loop; `None` while another process has it.
    pub async fn lease(&self, name: &str, ttl_ms: u64) -> Result<Option<Fence>, Error> {
        let request = LeaseRequest {
            name: name.into(),
            holder: self.holder.clone(),
            ttl_ms,
        };
        Ok(self.store.lease(request, self.now_ms()).await?)
    }

    /// Wakes when what agents are to run may have changed.
    pub fn documents_changed(&self) -> watch::Receiver<u64> {
        self.documents.subscribe()
    }

    /// Whether the store answers.
    pub async fn ready(&self) -> Result<(), Error> {
        self.store.meta().await?;
        Ok(())
    }

    /// Holds the row of an agent.
    async fn lane(&self, identity: &Identity) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        match self.lanes.get(at) {
            Some(lane) => Some(lane.lock().await),
            None => None,
        }
    }

    async fn write(
        &self,
        fence: Option<&Fence>,
        changes: Vec<Change>,
        events: Vec<NewEvent>,
    ) -> Result<(), Error> {
        let documents = changes.iter().any(touches_plans);
        let commit = Commit {
            fence: fence.cloned(),
            changes,
            events,
        };
        let last = self.store.commit(commit, self.now_ms()).await?;
        self.events.send_replace(last);
        if documents {
            self.documents.send_modify(|n| *n += 1);
        }
        Ok(())
    }

    /// A version of a pipeline by name (the newest) or hash.
    async fn resolve(&self, tenant: &str, reference: &str) -> Result<Option<Arc<Pipeline>>, Error> {
        if crate::documents::is_hash(reference) {
            return self.by_hash(tenant, reference).await;
        }
        let versions = self.store.pipeline_versions(tenant, reference).await?;
        Ok(versions.into_iter().next().map(Arc::new))
    }

    /// `name (beginning of the hash)`, as people are told of a version of a pipeline.
    async fn named(&self, tenant: &str, hash: &str) -> Result<String, Error> {
        let short = quarantine::short(hash);
        let name = self.pipeline_name(tenant, hash).await?;
        Ok(name.map_or_else(|| short.into(), |name| format!("{name} ({short})")))
    }

    /// The name of the pipeline with a hash; `None`: there is none any more.
    pub async fn pipeline_name(&self, tenant: &str, hash: &str) -> Result<Option<String>, Error> {
        let found = self.by_hash(tenant, hash).await?;
        Ok(found.map(|pipeline| pipeline.name.clone()))
    }

    async fn by_hash(&self, tenant: &str, hash: &str) -> Result<Option<Arc<Pipeline>>, Error> {
        let key = (tenant.to_owned(), hash.to_owned());
        if let Some(found) = self.pipelines.get(&key) {
            return Ok(Some(found.clone()));
        }
        let found = self
            .store
            .pipeline_by_hash(tenant, hash)
            .await?
            .map(Arc::new);
        if let Some(pipeline) = &found {
            self.pipelines.insert(key, pipeline.clone());
        }
        Ok(found)
    }
}

fn touches_plans(change: &Change) -> bool {
    matches!(
        change,
        Change::AddPipeline(_)
            | Change::PutAssignment(_)
            | Change::DropAssignment(_)
            | Change::PutExperiment(_)
            | Change::DropExperiment(_)
    )
}

/// An event about an object of a tenant.
fn event(caller: &Caller, object: String, kind: &'static str, body: Value) -> NewEvent {
    NewEvent {
        tenant: caller.tenant.clone(),
        cluster: String::new(),
        node: String::new(),
        object,
        kind,
        actor: caller.actor.clone(),
        body,
    }
}
