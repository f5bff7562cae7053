//! One change of one row.

use super::super::int;
use super::Tx;
use crate::model::{Agent, Assignment, Experiment, Identity, Pipeline, Quarantine, Window};
use crate::store::{Change, Error};
use prost::Message;
use serde::Serialize;
use sqlx::sqlite::SqliteQueryResult;

pub(super) async fn apply(tx: &mut Tx, change: Change, now_ms: u64) -> Result<(), Error> {
    match change {
        Change::AddPipeline(p) => add_pipeline(tx, &p).await,
        Change::DropPipeline { tenant, name } => {
            sqlx::query("DELETE FROM pipelines WHERE tenant = ? AND name = ?")
                .bind(tenant)
                .bind(name)
                .execute(&mut *tx)
                .await?;
            Ok(())
        }
        Change::PutAssignment(a) => put_assignment(tx, &a).await,
        Change::AddAssignmentChange(c) => {
            sqlx::query("INSERT INTO assignment_history (tenant, name, body) VALUES (?, ?, ?)")
                .bind(&c.tenant)
                .bind(&c.name)
                .bind(json(&c)?)
                .execute(&mut *tx)
                .await?;
            Ok(())
        }
        Change::DropAssignment(a) => {
            let done =
                sqlx::query("DELETE FROM assignments WHERE tenant = ? AND name = ? AND row = ?")
                    .bind(&a.tenant)
                    .bind(&a.name)
                    .bind(int(a.row))
                    .execute(&mut *tx)
                    .await?;
            one_row(&done)
        }
        Change::PutExperiment(e) => put_experiment(tx, &e).await,
        Change::DropExperiment(e) => drop_experiment(tx, &e).await,
        Change::AddWindow(w) => add_window(tx, &w).await,
        Change::PutEvidence {
            tenant,
            experiment,
            body,
        } => put_evidence(tx, &tenant, &experiment, &body, now_ms).await,
        Change::PutQuarantine(q) => put_quarantine(tx, &q).await,
        Change::DropQuarantine { tenant, hash } => {
            let done = sqlx::query("DELETE FROM quarantine WHERE tenant = ? AND hash = ?")
                .bind(tenant)
                .bind(hash)
                .execute(&mut *tx)
                .await?;
            one_row(&done)
        }
        Change::PutAgent(a) => put_agent(tx, &a).await,
        Change::DropAgent(identity) => drop_agent(tx, &identity).await,
        Change::PutCredential { identity, hash } => {
            put_credential(tx, &identity, &hash, now_ms).await
        }
    }
}

async fn add_pipeline(tx: &mut Tx, p: &Pipeline) -> Result<(), Error> {
    sqlx::query("INSERT INTO pipelines (tenant, name, version, hash, body) VALUES (?, ?, ?, ?, ?)")
        .bind(&p.tenant)
        .bind(&p.name)
        .bind(int(p.version))
        .bind(&p.hash)
        .bind(json(p)?)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn put_assignment(tx: &mut Tx, a: &Assignment) -> Result<(), Error> {
    let sql = match a.row {
        0 => {
            "INSERT INTO assignments (body, tenant, name, row) VALUES (?1, ?2, ?3, 1)
             ON CONFLICT DO NOTHING"
        }
        _ => {
            "UPDATE assignments SET body = ?1, row = row + 1
             WHERE tenant = ?2 AND name = ?3 AND row = ?4"
        }
    };
    let done = sqlx::query(sql)
        .bind(json(a)?)
        .bind(&a.tenant)
        .bind(&a.name);
    let done = match a.row {
        0 => done,
        row => done.bind(int(row)),
    };
    one_row(&done.execute(&mut *tx).await?)
}

async fn put_experiment(tx: &mut Tx, e: &Experiment) -> Result<(), Error> {
    // Another run in the place of one that ended: nobody can ask for what that one measured any more.
    for sql in [
        "DELETE FROM windows WHERE tenant = ?1 AND experiment IN
           (SELECT id FROM experiments WHERE tenant = ?1 AND name = ?2 AND id <> ?3)",
        "DELETE FROM evidence WHERE tenant = ?1 AND experiment IN
           (SELECT id FROM experiments WHERE tenant = ?1 AND name = ?2 AND id <> ?3)",
    ] {
        sqlx::query(sql)
            .bind(&e.tenant)
            .bind(&e.name)
            .bind(&e.id)
            .execute(&mut *tx)
            .await?;
    }
    let sql = match e.row {
        0 => {
            "INSERT INTO experiments (id, phase, body, tenant, name, row)
             VALUES (?1, ?2, ?3, ?4, ?5, 1) ON CONFLICT DO NOTHING"
        }
        _ => {
            "UPDATE experiments SET id = ?1, phase = ?2, body = ?3, row = row + 1
             WHERE tenant = ?4 AND name = ?5 AND row = ?6"
        }
    };
    let done = sqlx::query(sql)
        .bind(&e.id)
        .bind(e.phase.name())
        .bind(json(e)?)
        .bind(&e.tenant)
        .bind(&e.name);
    let done = match e.row {
        0 => done,
        row => done.bind(int(row)),
    };
    one_row(&done.execute(&mut *tx).await?)
}

async fn drop_experiment(tx: &mut Tx, e: &Experiment) -> Result<(), Error> {
    let done = sqlx::query("DELETE FROM experiments WHERE tenant = ? AND name = ? AND row = ?")
        .bind(&e.tenant)
        .bind(&e.name)
        .bind(int(e.row))
        .execute(&mut *tx)
        .await?;
    one_row(&done)?;
    for sql in [
        "DELETE FROM windows WHERE tenant = ? AND experiment = ?",
        "DELETE FROM evidence WHERE tenant = ? AND experiment = ?",
    ] {
        sqlx::query(sql)
            .bind(&e.tenant)
            .bind(&e.id)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

async fn put_evidence(
    tx: &mut Tx,
    tenant: &str,
    experiment: &str,
    body: &str,
    now_ms: u64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO evidence (tenant, experiment, time_ms, body) VALUES (?, ?, ?, ?)
         ON CONFLICT (tenant, cluster, node, experiment)
         DO UPDATE SET time_ms = excluded.time_ms, body = excluded.body",
    )
    .bind(tenant)
    .bind(experiment)
    .bind(int(now_ms))
    .bind(body)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn put_quarantine(tx: &mut Tx, q: &Quarantine) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO quarantine (tenant, hash, body) VALUES (?, ?, ?)
         ON CONFLICT (tenant, cluster, node, hash) DO UPDATE SET body = excluded.body",
    )
    .bind(&q.tenant)
    .bind(&q.hash)
    .bind(json(q)?)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn put_agent(tx: &mut Tx, a: &Agent) -> Result<(), Error> {
    let sql = match a.row {
        0 => {
            "INSERT INTO agents (body, tenant, cluster, node, row) VALUES (?1, ?2, ?3, ?4, 1)
             ON CONFLICT DO NOTHING"
        }
        _ => {
            "UPDATE agents SET body = ?1, row = row + 1
             WHERE tenant = ?2 AND cluster = ?3 AND node = ?4 AND row = ?5"
        }
    };
    let done = sqlx::query(sql)
        .bind(json(a)?)
        .bind(&a.identity.tenant)
        .bind(&a.identity.cluster)
        .bind(&a.identity.node);
    let done = match a.row {
        0 => done,
        row => done.bind(int(row)),
    };
    one_row(&done.execute(&mut *tx).await?)
}

async fn drop_agent(tx: &mut Tx, identity: &Identity) -> Result<(), Error> {
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
           arm, start_ms, end_ms, received_ms, void_reason, cpu_seconds, shared_cpu_seconds,
           shared_memory_bytes, rss_bytes, export_errors, requests_refused, report)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
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
    .bind(w.shared_cpu_seconds)
    .bind(w.shared_memory_bytes.map(int))
    .bind(w.rss_bytes.map(int))
    .bind(int(w.export_errors))
    .bind(int(w.requests_refused))
    .bind(w.report.encode_to_vec())
    .execute(&mut *tx)
    .await?;
    Ok(())
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
