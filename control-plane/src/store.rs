//! What the control plane remembers. Reads are plain; there is one write, `commit`: changes and the
//! events that tell of them, in one transaction. Only `app` calls it.

mod sqlite;

pub use sqlite::Sqlite;

use crate::model::{
    Agent, Assignment, AssignmentChange, Event, Experiment, Fence, Identity, NewEvent, Pipeline,
    Quarantine, Window,
};

/// What a store cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store failed: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("the store cannot be brought to this version: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("the store holds a row that cannot be read: {0}")]
    Row(String),
    /// Another write came first; read again.
    #[error("another write came first")]
    Conflict,
    /// The lease has gone to another holder, or lapsed: stop.
    #[error("the lease {0} is no longer held")]
    Fenced(String),
    /// The transaction that a write was part of failed as a whole.
    #[error("the store did not take the write: {0}")]
    Write(String),
    /// A change without an event; a defect of the caller.
    #[error("a change without an event")]
    Silent,
}

/// What stays the same for the life of a store.
#[derive(Debug, Clone)]
pub struct Meta {
    pub store_id: String,
    /// Seed of canonical identities, kept secret.
    pub fleet_seed: u64,
}

/// One change of one row. Rows with a `row` count fail with `Conflict` unless it is the one read.
#[derive(Debug, Clone)]
pub enum Change {
    AddPipeline(Pipeline),
    DropPipeline {
        tenant: String,
        name: String,
    },
    PutAssignment(Assignment),
    AddAssignmentChange(AssignmentChange),
    DropAssignment(Assignment),
    PutExperiment(Experiment),
    DropExperiment(Experiment),
    /// Stored once by its key; a second one is left out.
    AddWindow(Box<Window>),
    /// What a replay showed an experiment (by id): windows as JSON. Replaces what was there.
    PutEvidence {
        tenant: String,
        experiment: String,
        body: String,
    },
    /// One by hash; a second one replaces it.
    PutQuarantine(Quarantine),
    DropQuarantine {
        tenant: String,
        hash: String,
    },
    PutAgent(Box<Agent>),
    /// The agent and its credential.
    DropAgent(Identity),
    /// Replaces the identity's credential.
    PutCredential {
        identity: Identity,
        hash: String,
    },
}

/// A write: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Background loops only: the lease that must still be held.
    pub fence: Option<Fence>,
    pub changes: Vec<Change>,
    pub events: Vec<NewEvent>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventRange {
    /// The first ones after this sequence; `None`: the newest ones.
    pub after: Option<u64>,
    /// None from before, Unix epoch milliseconds.
    pub since_ms: u64,
    /// At most so many.
    pub limit: u32,
    pub kinds: Kinds,
}

/// Kinds of events; one that ends with `*` means all that begin so.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    /// Only these; empty: all.
    pub only: Vec<String>,
    /// Not these.
    pub except: Vec<String>,
}

/// A request for a lease.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    pub name: String,
    pub holder: String,
    pub ttl_ms: u64,
}

/// The store. SQLite now, PostgreSQL next.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    async fn meta(&self) -> Result<Meta, Error>;

    /// The only write. Returns the sequence of the last event.
    async fn commit(&self, commit: Commit, now_ms: u64) -> Result<u64, Error>;

    /// Takes or renews a lease; `None` while another holds it. A new holder gets a higher number.
    async fn lease(&self, request: LeaseRequest, now_ms: u64) -> Result<Option<Fence>, Error>;

    /// The newest version of every pipeline, by name.
    async fn pipelines(&self, tenant: &str) -> Result<Vec<Pipeline>, Error>;
    /// Newest first.
    async fn pipeline_versions(&self, tenant: &str, name: &str) -> Result<Vec<Pipeline>, Error>;
    async fn pipeline_by_hash(&self, tenant: &str, hash: &str) -> Result<Option<Pipeline>, Error>;

    async fn assignments(&self, tenant: &str) -> Result<Vec<Assignment>, Error>;
    async fn assignment(&self, tenant: &str, name: &str) -> Result<Option<Assignment>, Error>;
    /// Newest first.
    async fn assignment_history(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<Vec<AssignmentChange>, Error>;

    /// Of one tenant, or of all.
    async fn experiments(&self, tenant: Option<&str>) -> Result<Vec<Experiment>, Error>;
    async fn experiment(&self, tenant: &str, name: &str) -> Result<Option<Experiment>, Error>;

    /// By start, agent and arm.
    async fn windows(&self, tenant: &str, experiment: &str) -> Result<Vec<Window>, Error>;
    async fn has_window(&self, window: &Window) -> Result<bool, Error>;
    /// What a replay showed: JSON, and when it came.
    async fn evidence(
        &self,
        tenant: &str,
        experiment: &str,
    ) -> Result<Option<(String, u64)>, Error>;

    /// By time.
    async fn quarantine(&self, tenant: &str) -> Result<Vec<Quarantine>, Error>;

    async fn agents(&self, tenant: Option<&str>) -> Result<Vec<Agent>, Error>;
    async fn agent(&self, identity: &Identity) -> Result<Option<Agent>, Error>;
    async fn credential(&self, identity: &Identity) -> Result<Option<String>, Error>;
    /// Whose credential has this hash.
    async fn credential_owner(&self, hash: &str) -> Result<Option<Identity>, Error>;

    /// Oldest first.
    async fn events(&self, tenant: &str, range: EventRange) -> Result<Vec<Event>, Error>;
    /// Sequence of the newest event of a tenant, 0 if there is none.
    async fn last_event(&self, tenant: &str) -> Result<u64, Error>;
}
