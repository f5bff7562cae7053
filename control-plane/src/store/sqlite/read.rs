//! Reads: rows into objects.

use super::{int, uint};
use crate::model::{
    Agent, Assignment, AssignmentChange, Event, Experiment, Identity, Pipeline, Quarantine, Window,
};
use crate::store::{Error, EventRange, Meta};
use phoenix_proto::control::ArmReport;
use prost::Message;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use std::time::{Duration, UNIX_EPOCH};

fn object<T: DeserializeOwned>(body: &str) -> Result<T, Error> {
    serde_json::from_str(body).map_err(|e| Error::Row(e.to_string()))
}

fn objects<T: DeserializeOwned>(rows: Vec<(String,)>) -> Result<Vec<T>, Error> {
    rows.iter().map(|(body,)| object(body)).collect()
}

/// An object with the count of writes of its row.
fn counted<T: DeserializeOwned>(row: (i64, String), put: impl Fn(&mut T, u64)) -> Result<T, Error> {
    let mut value: T = object(&row.1)?;
    put(&mut value, uint(row.0));
    Ok(value)
}

pub(super) async fn meta(pool: &SqlitePool) -> Result<Meta, Error> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT key, value FROM meta")
        .fetch_all(pool)
        .await?;
    let value = |key: &str| {
        rows.iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
            .ok_or_else(|| Error::Row(format!("meta has no {key}")))
    };
    Ok(Meta {
        store_id: value("store_id")?,
        fleet_seed: value("fleet_seed")?
            .parse()
            .map_err(|_| Error::Row("fleet_seed is no number".into()))?,
    })
}

pub(super) async fn pipelines(pool: &SqlitePool, tenant: &str) -> Result<Vec<Pipeline>, Error> {
    let rows = sqlx::query_as(
        "SELECT body FROM pipelines AS p WHERE tenant = ?1 AND version =
           (SELECT MAX(version) FROM pipelines WHERE tenant = ?1 AND name = p.name) ORDER BY name",
    )
    .bind(tenant)
    .fetch_all(pool)
    .await?;
    objects(rows)
}

pub(super) async fn pipeline_versions(
    pool: &SqlitePool,
    tenant: &str,
    name: &str,
) -> Result<Vec<Pipeline>, Error> {
    let rows = sqlx::query_as(
        "SELECT body FROM pipelines WHERE tenant = ? AND name = ? ORDER BY version DESC",
    )
    .bind(tenant)
    .bind(name)
    .fetch_all(pool)
    .await?;
    objects(rows)
}

pub(super) async fn pipeline_by_hash(
    pool: &SqlitePool,
    tenant: &str,
    hash: &str,
) -> Result<Option<Pipeline>, Error> {
    let row: Option<(String,)> = sqlx::query_as(
        "SELECT body FROM pipelines WHERE tenant = ? AND hash = ? ORDER BY version DESC LIMIT 1",
    )
    .bind(tenant)
    .bind(hash)
    .fetch_optional(pool)
    .await?;
    row.map(|(body,)| object(&body)).transpose()
}

pub(super) async fn assignments(pool: &SqlitePool, tenant: &str) -> Result<Vec<Assignment>, Error> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT row, body FROM assignments WHERE tenant = ? ORDER BY name")
            .bind(tenant)
            .fetch_all(pool)
            .await?;
    rows.into_iter()
        .map(|row| counted(row, |a: &mut Assignment, n| a.row = n))
        .collect()
}

pub(super) async fn assignment(
    pool: &SqlitePool,
    tenant: &str,
    name: &str,
) -> Result<Option<Assignment>, Error> {
    let row: Option<(i64, String)> =
        sqlx::query_as("SELECT row, body FROM assignments WHERE tenant = ? AND name = ?")
            .bind(tenant)
            .bind(name)
            .fetch_optional(pool)
            .await?;
    row.map(|row| counted(row, |a: &mut Assignment, n| a.row = n))
        .transpose()
}

pub(super) async fn assignment_history(
    pool: &SqlitePool,
    tenant: &str,
    name: &str,
) -> Result<Vec<AssignmentChange>, Error> {
    let rows = sqlx::query_as(
        "SELECT body FROM assignment_history WHERE tenant = ? AND name = ? ORDER BY id DESC",
    )
    .bind(tenant)
    .bind(name)
    .fetch_all(pool)
    .await?;
    objects(rows)
}

pub(super) async fn experiments(
    pool: &SqlitePool,
    tenant: Option<&str>,
) -> Result<Vec<Experiment>, Error> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT row, body FROM experiments WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, name",
    )
    .bind(tenant)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| counted(row, |e: &mut Experiment, n| e.row = n))
        .collect()
}

pub(super) async fn experiment(
    pool: &SqlitePool,
    tenant: &str,
    name: &str,
) -> Result<Option<Experiment>, Error> {
    let row: Option<(i64, String)> =
        sqlx::query_as("SELECT row, body FROM experiments WHERE tenant = ? AND name = ?")
            .bind(tenant)
            .bind(name)
            .fetch_optional(pool)
            .await?;
    row.map(|row| counted(row, |e: &mut Experiment, n| e.row = n))
        .transpose()
}

pub(super) async fn windows(
    pool: &SqlitePool,
    tenant: &str,
    experiment: &str,
) -> Result<Vec<Window>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM windows WHERE tenant = ? AND experiment = ?
         ORDER BY start_ms, cluster, node, incarnation, arm",
    )
    .bind(tenant)
    .bind(experiment)
    .fetch_all(pool)
    .await?;
    rows.iter().map(window).collect()
}

fn window(row: &SqliteRow) -> Result<Window, Error> {
    let number = |column: &str| row.try_get::<i64, _>(column).map(uint);
    let report: Vec<u8> = row.try_get("report")?;
    Ok(Window {
        identity: Identity {
            tenant: row.try_get("tenant")?,
            cluster: row.try_get("cluster")?,
            node: row.try_get("node")?,
        },
        incarnation: row.try_get("incarnation")?,
        experiment: row.try_get("experiment")?,
        experiment_revision: number("experiment_revision")?,
        arm: row.try_get("arm")?,
        start_ms: number("start_ms")?,
        end_ms: number("end_ms")?,
        received_ms: number("received_ms")?,
        void_reason: row.try_get("void_reason")?,
        cpu_seconds: row.try_get("cpu_seconds")?,
        shared_cpu_seconds: row.try_get("shared_cpu_seconds")?,
        shared_memory_bytes: row
            .try_get::<Option<i64>, _>("shared_memory_bytes")?
            .map(uint),
        rss_bytes: row.try_get::<Option<i64>, _>("rss_bytes")?.map(uint),
        export_errors: number("export_errors")?,
        requests_refused: number("requests_refused")?,
        report: ArmReport::decode(report.as_slice()).map_err(|e| Error::Row(e.to_string()))?,
    })
}

pub(super) async fn has_window(pool: &SqlitePool, w: &Window) -> Result<bool, Error> {
    let row: Option<(i64,)> = sqlx::query_as(
        "SELECT 1 FROM windows WHERE tenant = ? AND cluster = ? AND node = ? AND incarnation = ?
           AND experiment = ? AND experiment_revision = ? AND arm = ? AND start_ms = ?",
    )
    .bind(&w.identity.tenant)
    .bind(&w.identity.cluster)
    .bind(&w.identity.node)
    .bind(&w.incarnation)
    .bind(&w.experiment)
    .bind(int(w.experiment_revision))
    .bind(&w.arm)
    .bind(int(w.start_ms))
    .fetch_optional(pool)
    .await?;
    Ok(row.is_some())
}

pub(super) async fn evidence(
    pool: &SqlitePool,
    tenant: &str,
    experiment: &str,
) -> Result<Option<(String, u64)>, Error> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT body, time_ms FROM evidence WHERE tenant = ? AND experiment = ?")
            .bind(tenant)
            .bind(experiment)
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|(body, time)| (body, uint(time))))
}

pub(super) async fn quarantine(pool: &SqlitePool, tenant: &str) -> Result<Vec<Quarantine>, Error> {
    let rows = sqlx::query_as("SELECT body FROM quarantine WHERE tenant = ?")
        .bind(tenant)
        .fetch_all(pool)
        .await?;
    let mut all: Vec<Quarantine> = objects(rows)?;
    all.sort_by(|a, b| (a.time_ms, &a.hash).cmp(&(b.time_ms, &b.hash)));
    Ok(all)
}

pub(super) async fn agents(pool: &SqlitePool, tenant: Option<&str>) -> Result<Vec<Agent>, Error> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT row, body FROM agents WHERE ?1 IS NULL OR tenant = ?1
         ORDER BY tenant, cluster, node",
    )
    .bind(tenant)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| counted(row, |a: &mut Agent, n| a.row = n))
        .collect()
}

pub(super) async fn agent(pool: &SqlitePool, identity: &Identity) -> Result<Option<Agent>, Error> {
    let row: Option<(i64, String)> = sqlx::query_as(
        "SELECT row, body FROM agents WHERE tenant = ? AND cluster = ? AND node = ?",
    )
    .bind(&identity.tenant)
    .bind(&identity.cluster)
    .bind(&identity.node)
    .fetch_optional(pool)
    .await?;
    row.map(|row| counted(row, |a: &mut Agent, n| a.row = n))
        .transpose()
}

pub(super) async fn credential(
    pool: &SqlitePool,
    identity: &Identity,
) -> Result<Option<String>, Error> {
    let row: Option<(String,)> = sqlx::query_as(
        "SELECT hash FROM credentials WHERE tenant = ? AND cluster = ? AND node = ?",
    )
    .bind(&identity.tenant)
    .bind(&identity.cluster)
    .bind(&identity.node)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|(hash,)| hash))
}

pub(super) async fn credential_owner(
    pool: &SqlitePool,
    hash: &str,
) -> Result<Option<Identity>, Error> {
    let row: Option<(String, String, String)> =
        sqlx::query_as("SELECT tenant, cluster, node FROM credentials WHERE hash = ?")
            .bind(hash)
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|(tenant, cluster, node)| Identity {
        tenant,
        cluster,
        node,
    }))
}

pub(super) async fn events(
    pool: &SqlitePool,
    tenant: &str,
    range: EventRange,
) -> Result<Vec<Event>, Error> {
    let order = match range.after {
        Some(_) => "ASC",
        None => "DESC",
    };
    let sql = format!(
        "SELECT * FROM events WHERE tenant = ?1 AND sequence > ?2 AND time_ms >= ?3
           AND (?4 = '[]' OR EXISTS (SELECT 1 FROM json_each(?4) AS k WHERE events.kind GLOB k.value))
           AND NOT EXISTS (SELECT 1 FROM json_each(?5) AS k WHERE events.kind GLOB k.value)
         ORDER BY sequence {order} LIMIT ?6"
    );
    let list = |kinds: &[String]| serde_json::json!(kinds).to_string();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant)
        .bind(int(range.after.unwrap_or(0)))
        .bind(int(range.since_ms))
        .bind(list(&range.kinds.only))
        .bind(list(&range.kinds.except))
        .bind(range.limit)
        .fetch_all(pool)
        .await?;
    let mut events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
    if range.after.is_none() {
        events.reverse();
    }
    Ok(events)
}

fn event(row: &SqliteRow) -> Result<Event, Error> {
    let time_ms = uint(row.try_get("time_ms")?);
    Ok(Event {
        sequence: uint(row.try_get("sequence")?),
        tenant: row.try_get("tenant")?,
        cluster: row.try_get("cluster")?,
        node: row.try_get("node")?,
        object: row.try_get("object")?,
        kind: row.try_get("kind")?,
        actor: row.try_get("actor")?,
        body: object(row.try_get::<&str, _>("body")?)?,
        time_ms,
        time: humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time_ms))
            .to_string(),
    })
}

pub(super) async fn last_event(pool: &SqlitePool, tenant: &str) -> Result<u64, Error> {
    let (last,): (i64,) =
        sqlx::query_as("SELECT COALESCE(MAX(sequence), 0) FROM events WHERE tenant = ?")
            .bind(tenant)
            .fetch_one(pool)
            .await?;
    Ok(uint(last))
}
