//! SQLite: one file, write-ahead log, one writer, several readers.

mod read;
mod write;

use super::{Commit, Error, EventRange, LeaseRequest, Meta, Store};
use crate::model::{
    Agent, Assignment, AssignmentChange, Event, Experiment, Fence, Identity, Pipeline, Quarantine,
    Window,
};
use rand::RngCore;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// A store in one file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    readers: SqlitePool,
    /// One connection: writers queue here instead of failing with "busy".
    writer: SqlitePool,
    jobs: mpsc::Sender<write::Job>,
}

impl Sqlite {
    /// Opens the file, makes it if it is new, and brings it to this version.
    pub async fn open(path: &Path) -> Result<Sqlite, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A power cut must not lose what was acknowledged to an agent.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        MIGRATIONS.run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.read_only(true))
            .await?;
        let (jobs, waiting) = mpsc::channel(1024);
        tokio::spawn(write::run(writer.clone(), waiting));
        let store = Sqlite {
            readers,
            writer,
            jobs,
        };
        store.found().await?;
        Ok(store)
    }

    /// Gives a new store its id and its secret seed. Tells of nothing: nobody can listen yet.
    async fn found(&self) -> Result<(), Error> {
        let id = uuid::Uuid::new_v4().to_string();
        let seed = rand::rng().next_u64().to_string();
        for (key, value) in [("store_id", id), ("fleet_seed", seed)] {
            sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(key)
                .bind(value)
                .execute(&self.writer)
                .await?;
        }
        Ok(())
    }

    /// Writes everything out and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// SQLite's integers are signed; nothing counted here comes near the limit.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[async_trait::async_trait]
impl Store for Sqlite {
    async fn meta(&self) -> Result<Meta, Error> {
        read::meta(&self.readers).await
    }

    async fn commit(&self, commit: Commit, now_ms: u64) -> Result<u64, Error> {
        let (done, answer) = oneshot::channel();
        let job = write::Job {
            commit,
            now_ms,
            done,
        };
        let ended = |_| Error::Write("the writer has ended".into());
        self.jobs.send(job).await.map_err(|_| ended(()))?;
        answer.await.map_err(|_| ended(()))?
    }

    async fn lease(&self, request: LeaseRequest, now_ms: u64) -> Result<Option<Fence>, Error> {
        write::lease(&self.writer, request, now_ms).await
    }

    async fn pipelines(&self, tenant: &str) -> Result<Vec<Pipeline>, Error> {
        read::pipelines(&self.readers, tenant).await
    }

    async fn pipeline_versions(&self, tenant: &str, name: &str) -> Result<Vec<Pipeline>, Error> {
        read::pipeline_versions(&self.readers, tenant, name).await
    }

    async fn pipeline_by_hash(&self, tenant: &str, hash: &str) -> Result<Option<Pipeline>, Error> {
        read::pipeline_by_hash(&self.readers, tenant, hash).await
    }

    async fn assignments(&self, tenant: &str) -> Result<Vec<Assignment>, Error> {
        read::assignments(&self.readers, tenant).await
    }

    async fn assignment(&self, tenant: &str, name: &str) -> Result<Option<Assignment>, Error> {
        read::assignment(&self.readers, tenant, name).await
    }

    async fn assignment_history(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<Vec<AssignmentChange>, Error> {
        read::assignment_history(&self.readers, tenant, name).await
    }

    async fn experiments(&self, tenant: Option<&str>) -> Result<Vec<Experiment>, Error> {
        read::experiments(&self.readers, tenant).await
    }

    async fn experiment(&self, tenant: &str, name: &str) -> Result<Option<Experiment>, Error> {
        read::experiment(&self.readers, tenant, name).await
    }

    async fn windows(&self, tenant: &str, experiment: &str) -> Result<Vec<Window>, Error> {
        read::windows(&self.readers, tenant, experiment).await
    }

    async fn has_window(&self, window: &Window) -> Result<bool, Error> {
        read::has_window(&self.readers, window).await
    }

    async fn evidence(
        &self,
        tenant: &str,
        experiment: &str,
    ) -> Result<Option<(String, u64)>, Error> {
        read::evidence(&self.readers, tenant, experiment).await
    }

    async fn quarantine(&self, tenant: &str) -> Result<Vec<Quarantine>, Error> {
        read::quarantine(&self.readers, tenant).await
    }

    async fn agents(&self, tenant: Option<&str>) -> Result<Vec<Agent>, Error> {
        read::agents(&self.readers, tenant).await
    }

    async fn agent(&self, identity: &Identity) -> Result<Option<Agent>, Error> {
        read::agent(&self.readers, identity).await
    }

    async fn credential(&self, identity: &Identity) -> Result<Option<String>, Error> {
        read::credential(&self.readers, identity).await
    }

    async fn credential_owner(&self, hash: &str) -> Result<Option<Identity>, Error> {
        read::credential_owner(&self.readers, hash).await
    }

    async fn events(&self, tenant: &str, range: EventRange) -> Result<Vec<Event>, Error> {
        read::events(&self.readers, tenant, range).await
    }

    async fn last_event(&self, tenant: &str) -> Result<u64, Error> {
        read::last_event(&self.readers, tenant).await
    }
}

#[cfg(test)]
mod tests;
