-- Pipelines that no agent of a tenant gets again until they are lifted.
CREATE TABLE quarantine (
    tenant  TEXT NOT NULL,
    cluster TEXT NOT NULL DEFAULT '',
    node    TEXT NOT NULL DEFAULT '',
    hash    TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, cluster, node, hash)
);

-- What a replay of captures showed an experiment: windows as JSON, replaced as a whole.
CREATE TABLE evidence (
    tenant     TEXT NOT NULL,
    cluster    TEXT NOT NULL DEFAULT '',
    node       TEXT NOT NULL DEFAULT '',
    experiment TEXT NOT NULL,
    time_ms    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (tenant, cluster, node, experiment)
);
