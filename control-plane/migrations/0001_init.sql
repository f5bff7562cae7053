-- The store. Every table names tenant, cluster and node: what belongs to a whole tenant has them
-- empty. Keys and what is searched for are columns; the rest of an object is JSON in `body`.
-- `row` counts the writes of a row: a write names the count it read and fails when another came first.

CREATE TABLE meta (
    tenant  TEXT NOT NULL DEFAULT '',
    cluster TEXT NOT NULL DEFAULT '',
    node    TEXT NOT NULL DEFAULT '',
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (tenant, cluster, node, key)
);

-- What happened, in order. Written in the transaction of the change that it tells of.
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    cluster  TEXT NOT NULL DEFAULT '',
    node     TEXT NOT NULL DEFAULT '',
    object   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    actor    TEXT NOT NULL,
    body     TEXT NOT NULL,
    time_ms  INTEGER NOT NULL
);
CREATE INDEX events_by_tenant ON events (tenant, sequence);

CREATE TABLE leases (
    tenant     TEXT NOT NULL DEFAULT '',
    cluster    TEXT NOT NULL DEFAULT '',
    node       TEXT NOT NULL DEFAULT '',
    name       TEXT NOT NULL,
    holder     TEXT NOT NULL,
    fence      INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, cluster, node, name)
);

-- Immutable versions.
CREATE TABLE pipelines (
    tenant  TEXT NOT NULL,
    cluster TEXT NOT NULL DEFAULT '',
    node    TEXT NOT NULL DEFAULT '',
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    hash    TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, cluster, node, name, version)
);
CREATE INDEX pipelines_by_hash ON pipelines (tenant, hash);

CREATE TABLE assignments (
    tenant  TEXT NOT NULL,
    cluster TEXT NOT NULL DEFAULT '',
    node    TEXT NOT NULL DEFAULT '',
    name    TEXT NOT NULL,
    row     INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, cluster, node, name)
);

-- Every pipeline that an assignment ever led to; outlives the assignment.
CREATE TABLE assignment_history (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT NOT NULL,
    cluster TEXT NOT NULL DEFAULT '',
    node    TEXT NOT NULL DEFAULT '',
    name    TEXT NOT NULL,
    body    TEXT NOT NULL
);
CREATE INDEX assignment_history_by_name ON assignment_history (tenant, name, id);

CREATE TABLE experiments (
    tenant  TEXT NOT NULL,
    cluster TEXT NOT NULL DEFAULT '',
    node    TEXT NOT NULL DEFAULT '',
    name    TEXT NOT NULL,
    id      TEXT NOT NULL,
    phase   TEXT NOT NULL,
    row     INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, cluster, node, name)
);

-- Figures of one window of one arm of one agent: stored once.
CREATE TABLE windows (
    tenant              TEXT NOT NULL,
    cluster             TEXT NOT NULL,
    node                TEXT NOT NULL,
    incarnation         TEXT NOT NULL,
    experiment          TEXT NOT NULL,
    experiment_revision INTEGER NOT NULL,
    arm                 TEXT NOT NULL,
    start_ms            INTEGER NOT NULL,
    end_ms              INTEGER NOT NULL,
    received_ms         INTEGER NOT NULL,
    void_reason         TEXT NOT NULL,
    cpu_seconds         REAL,
    rss_bytes           INTEGER,
    export_errors       INTEGER NOT NULL,
    requests_refused    INTEGER NOT NULL,
    report              BLOB NOT NULL,
    PRIMARY KEY (tenant, cluster, node, incarnation, experiment, experiment_revision, arm, start_ms)
);
CREATE INDEX windows_by_experiment ON windows (tenant, experiment, start_ms);

CREATE TABLE agents (
    tenant  TEXT NOT NULL,
    cluster TEXT NOT NULL,
    node    TEXT NOT NULL,
    row     INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, cluster, node)
);

-- Only the hash of a credential is kept.
CREATE TABLE credentials (
    tenant     TEXT NOT NULL,
    cluster    TEXT NOT NULL,
    node       TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, cluster, node)
);
CREATE UNIQUE INDEX credentials_by_hash ON credentials (hash);
