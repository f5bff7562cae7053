//! The one writer, and leases.

mod change;

use super::int;
use crate::model::{Fence, NewEvent};
use crate::store::{Commit, Error, LeaseRequest};
use change::apply;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

type Tx = SqliteConnection;

/// Most commits that share one transaction.
const MOST: usize = 512;

/// A commit on its way to the writer.
pub(super) struct Job {
    pub commit: Commit,
    pub now_ms: u64,
    pub done: oneshot::Sender<Result<u64, Error>>,
}

/// The writer: commits that wait together go to the disk together, each in its own savepoint. Making
/// a write durable costs milliseconds; thousands of agents that report at once must not queue for it.
pub(super) async fn run(pool: SqlitePool, mut jobs: mpsc::Receiver<Job>) {
    let mut waiting = Vec::new();
    while jobs.recv_many(&mut waiting, MOST).await > 0 {
        let mut answers = Vec::with_capacity(waiting.len());
        let result = together(&pool, waiting.drain(..), &mut answers).await;
        let failed = result.err().map(|e| e.to_string());
        for (done, answer) in answers {
            let _ = done.send(match &failed {
                None => answer,
                Some(reason) => Err(Error::Write(reason.clone())),
            });
        }
    }
}

type Answer = (oneshot::Sender<Result<u64, Error>>, Result<u64, Error>);

async fn together(
    pool: &SqlitePool,
    jobs: impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), Error> {
    let mut failed = None;
    // "Immediate" takes the write lock at once: a read inside sees what the write will meet.
    let mut tx = match pool.begin_with("BEGIN IMMEDIATE").await {
        Ok(tx) => Some(tx),
        Err(error) => {
            failed = Some(error);
            None
        }
    };
    for job in jobs {
        let answer = match &mut tx {
            Some(tx) => alone(tx, job.commit, job.now_ms).await,
            None => Ok(0),
        };
        answers.push((job.done, answer));
    }
    match (tx, failed) {
        (Some(tx), _) => Ok(tx.commit().await?),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Ok(()),
    }
}

/// One commit in its savepoint.
async fn alone(tx: &mut Tx, commit: Commit, now_ms: u64) -> Result<u64, Error> {
    if commit.events.is_empty() {
        return Err(Error::Silent);
    }
    let mut tx = tx.begin().await?;
    if let Some(fence) = &commit.fence {
        check(&mut tx, fence, now_ms).await?;
    }
    for change in commit.changes {
        apply(&mut tx, change, now_ms).await?;
    }
    let mut last = 0;
    for event in commit.events {
        last = append(&mut tx, event, now_ms).await?;
    }
    tx.commit().await?;
    Ok(last)
}

async fn check(tx: &mut Tx, fence: &Fence, now_ms: u64) -> Result<(), Error> {
    let held: Option<(i64,)> = sqlx::query_as(
        "SELECT fence FROM leases WHERE tenant = '' AND name = ? AND fence = ? AND expires_ms > ?",
    )
    .bind(&fence.lease)
    .bind(int(fence.number))
    .bind(int(now_ms))
    .fetch_optional(&mut *tx)
    .await?;
    match held {
        Some(_) => Ok(()),
        None => Err(Error::Fenced(fence.lease.clone())),
    }
}

async fn append(tx: &mut Tx, event: NewEvent, now_ms: u64) -> Result<u64, Error> {
    let done = sqlx::query(
        "INSERT INTO events (tenant, cluster, node, object, kind, actor, body, time_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(event.tenant)
    .bind(event.cluster)
    .bind(event.node)
    .bind(event.object)
    .bind(event.kind)
    .bind(event.actor)
    .bind(event.body.to_string())
    .bind(int(now_ms))
    .execute(&mut *tx)
    .await?;
    Ok(super::uint(done.last_insert_rowid()))
}

pub(super) async fn lease(
    pool: &SqlitePool,
    request: LeaseRequest,
    now_ms: u64,
) -> Result<Option<Fence>, Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let row: Option<(String, i64, i64)> = sqlx::query_as(
        "SELECT holder, fence, expires_ms FROM leases WHERE tenant = '' AND name = ?",
    )
    .bind(&request.name)
    .fetch_optional(&mut *tx)
    .await?;
    let (fence, changed) = match row {
        Some((holder, fence, expires)) if expires > int(now_ms) => {
            if holder != request.holder {
                return Ok(None);
            }
            (fence, false)
        }
        Some((_, fence, _)) => (fence + 1, true),
        None => (1, true),
    };
    sqlx::query(
        "INSERT INTO leases (name, holder, fence, expires_ms) VALUES (?, ?, ?, ?)
         ON CONFLICT (tenant, cluster, node, name) DO UPDATE
         SET holder = excluded.holder, fence = excluded.fence, expires_ms = excluded.expires_ms",
    )
    .bind(&request.name)
    .bind(&request.holder)
    .bind(fence)
    .bind(int(now_ms.saturating_add(request.ttl_ms)))
    .execute(&mut *tx)
    .await?;
    let fence = Fence {
        lease: request.name,
        number: super::uint(fence),
    };
    // A renewal tells nobody anything; a change of hands does.
    if changed {
        let event = NewEvent {
            tenant: String::new(),
            cluster: String::new(),
            node: String::new(),
            object: format!("lease/{}", fence.lease),
            kind: "lease.taken",
            actor: request.holder,
            body: serde_json::json!({ "fence": fence.number }),
        };
        append(&mut tx, event, now_ms).await?;
    }
    tx.commit().await?;
    Ok(Some(fence))
}
