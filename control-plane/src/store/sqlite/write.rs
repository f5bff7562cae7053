//! The one writer, and leases.

use super::int;
use crate::model::{Fence, Identity, NewEvent, Window};
use crate::store::{Change, Commit, Error, LeaseRequest};
use prost::Message;
use serde::Serialize;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteQueryResult};
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

async fn apply(tx: &mut Tx, change: Change, now_ms: u64) -> Result<(), Error> {
    match change {
        Change::AddPipeline(p) => {
            sqlx::query(
                "INSERT INTO pipelines (tenant, name, version, hash, body) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(&p.tenant)
            .bind(&p.name)
            .bind(int(p.version))
            .bind(&p.hash)
            .bind(json(&p)?)
            .execute(&mut *tx)
            .await?;
        }
        Change::DropPipeline { tenant, name } => {
            sqlx::query("DELETE FROM pipelines WHERE tenant = ? AND name = ?")
                .bind(tenant)
                .bind(name)
                .execute(&mut *tx)
                .await?;
        }
        Change::PutAssignment(a) => {
            let done = if a.row == 0 {
                sqlx::query(
                    "INSERT INTO assignments (tenant, name, row, body) VALUES (?, ?, 1, ?)
                     ON CONFLICT DO NOTHING",
                )
                .bind(&a.tenant)
                .bind(&a.name)
                .bind(json(&a)?)
                .execute(&mut *tx)
                .await?
            } else {
                sqlx::query(
                    "UPDATE assignments SET body = ?, row = row + 1
                     WHERE tenant = ? AND name = ? AND row = ?",
                )
                .bind(json(&a)?)
                .bind(&a.tenant)
                .bind(&a.name)
                .bind(int(a.row))
                .execute(&mut *tx)
                .await?
            };
            one_row(&done)?;
        }
        Change::AddAssignmentChange(c) => {
            sqlx::query("INSERT INTO assignment_history (tenant, name, body) VALUES (?, ?, ?)")
                .bind(&c.tenant)
                .bind(&c.name)
                .bind(json(&c)?)
                .execute(&mut *tx)
                .await?;
        }
        Change::DropAssignment(a) => {
            let done =
                sqlx::query("DELETE FROM assignments WHERE tenant = ? AND name = ? AND row = ?")
                    .bind(&a.tenant)
                    .bind(&a.name)
                    .bind(int(a.row))
                    .execute(&mut *tx)
                    .await?;
            one_row(&done)?;
        }
        Change::PutExperiment(e) => {
            let done = if e.row == 0 {
                sqlx::query(
                    "INSERT INTO experiments (tenant, name, id, phase, row, body)
                     VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING",
                )
                .bind(&e.tenant)
                .bind(&e.name)
                .bind(&e.id)
                .bind(e.phase.name())
                .bind(json(&e)?)
                .execute(&mut *tx)
                .await?
            } else {
                sqlx::query(
                    "UPDATE experiments SET id = ?, phase = ?, body = ?, row = row + 1
                     WHERE tenant = ? AND name = ? AND row = ?",
                )
                .bind(&e.id)
                .bind(e.phase.name())
                .bind(json(&e)?)
                .bind(&e.tenant)
                .bind(&e.name)
                .bind(int(e.row))
                .execute(&mut *tx)
                .await?
            };
            one_row(&done)?;
        }
        Change::DropExperiment(e) => {
            let done =
                sqlx::query("DELETE FROM experiments WHERE tenant = ? AND name = ? AND row = ?")
                    .bind(&e.tenant)
                    .bind(&e.name)
                    .bind(int(e.row))
                    .execute(&mut *tx)
                    .await?;
            one_row(&done)?;
            sqlx::query("DELETE FROM windows WHERE tenant = ? AND experiment = ?")
                .bind(&e.tenant)
                .bind(&e.id)
                .execute(&mut *tx)
                .await?;
        }
        Change::AddWindow(w) => add_window(tx, &w).await?,
        Change::PutAgent(a) => {
            let done = if a.row == 0 {
                sqlx::query(
                    "INSERT INTO agents (tenant, cluster, node, row, body) VALUES (?, ?, ?, 1, ?)
                     ON CONFLICT DO NOTHING",
                )
                .bind(&a.identity.tenant)
                .bind(&a.identity.cluster)
                .bind(&a.identity.node)
                .bind(json(&a)?)
                .execute(&mut *tx)
                .await?
            } else {
                sqlx::query(
                    "UPDATE agents SET body = ?, row = row + 1
                     WHERE tenant = ? AND cluster = ? AND node = ? AND row = ?",
                )
                .bind(json(&a)?)
                .bind(&a.identity.tenant)
                .bind(&a.identity.cluster)
                .bind(&a.identity.node)
                .bind(int(a.row))
                .execute(&mut *tx)
                .await?
            };
            one_row(&done)?;
        }
        Change::DropAgent(identity) => {
            for sql in [
                "DELETE FROM agents WHERE tenant = ? AND cluster = ? AND node = ?",
                "DELETE FROM credentials WHERE tenant = ? AND cluster = ? AND node = ?",
            ] {
                sqlx::query(sql)
                    .bind(&identity.tenant)
                    .bind(&identity.cluster)
                    .bind(&identity.node)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        Change::PutCredential { identity, hash } => {
            put_credential(tx, &identity, &hash, now_ms).await?;
        }
    }
    Ok(())
}

async fn put_credential(
    tx: &mut Tx,
    identity: &Identity,
    hash: &str,
    now_ms: u64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO credentials (tenant, cluster, node, hash, created_ms) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (tenant, cluster, node)
         DO UPDATE SET hash = excluded.hash, created_ms = excluded.created_ms",
    )
    .bind(&identity.tenant)
    .bind(&identity.cluster)
    .bind(&identity.node)
    .bind(hash)
    .bind(int(now_ms))
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn add_window(tx: &mut Tx, w: &Window) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO windows (tenant, cluster, node, incarnation, experiment, experiment_revision,
           arm, start_ms, end_ms, received_ms, void_reason, cpu_seconds, rss_bytes, export_errors,
           requests_refused, report)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&w.identity.tenant)
    .bind(&w.identity.cluster)
    .bind(&w.identity.node)
    .bind(&w.incarnation)
    .bind(&w.experiment)
    .bind(int(w.experiment_revision))
    .bind(&w.arm)
    .bind(int(w.start_ms))
    .bind(int(w.end_ms))
    .bind(int(w.received_ms))
    .bind(&w.void_reason)
    .bind(w.cpu_seconds)
    .bind(w.rss_bytes.map(int))
    .bind(int(w.export_errors))
    .bind(int(w.requests_refused))
    .bind(w.report.encode_to_vec())
    .execute(&mut *tx)
    .await?;
    Ok(())
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

fn one_row(done: &SqliteQueryResult) -> Result<(), Error> {
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Row(e.to_string()))
}
