-- Times are milliseconds since 1970. What belongs to somebody has a tenant, which is never
-- empty.

-- +goose Up
CREATE TABLE files (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    tenant     TEXT NOT NULL CHECK (tenant <> ''),
    purpose    TEXT NOT NULL,
    filename   TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX files_by_tenant ON files (tenant, seq);
CREATE INDEX files_by_content ON files (tenant, sha256);
CREATE INDEX files_by_expiry ON files (expires_at);

-- The content of a file, in pieces. content is the file's id.
CREATE TABLE chunks (
    content TEXT NOT NULL,
    n       INTEGER NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (content, n)
);

-- Contents on their way in, whose file is not there yet.
CREATE TABLE uploads (
    content    TEXT PRIMARY KEY,
    touched_at INTEGER NOT NULL
);

-- A batch, or one request with "Prefer: respond-async" (kind request).
CREATE TABLE jobs (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    tenant         TEXT NOT NULL CHECK (tenant <> ''),
    kind           TEXT NOT NULL CHECK (kind IN ('batch', 'request')),
    origin         TEXT NOT NULL,
    endpoint       TEXT NOT NULL,
    input          TEXT NOT NULL DEFAULT '',
    metadata       TEXT NOT NULL DEFAULT 'null',
    headers        TEXT NOT NULL DEFAULT '[]',
    digest         BLOB NOT NULL,
    max_attempts   INTEGER NOT NULL,
    retention      INTEGER NOT NULL,
    status         TEXT NOT NULL,
    outcome        TEXT NOT NULL DEFAULT '',
    errors         TEXT NOT NULL DEFAULT '',
    output         TEXT NOT NULL DEFAULT '',
    error_file     TEXT NOT NULL DEFAULT '',
    total          INTEGER NOT NULL DEFAULT 0,
    completed      INTEGER NOT NULL DEFAULT 0,
    failed         INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL,
    in_progress_at INTEGER NOT NULL DEFAULT 0,
    finalizing_at  INTEGER NOT NULL DEFAULT 0,
    cancelling_at  INTEGER NOT NULL DEFAULT 0,
    ended_at       INTEGER NOT NULL DEFAULT 0,
    expires_at     INTEGER NOT NULL,
    owner          TEXT NOT NULL DEFAULT '',
    token          INTEGER NOT NULL DEFAULT 0,
    lease_until    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_tenant ON jobs (tenant, kind, seq);
CREATE INDEX jobs_open ON jobs (status, seq) WHERE ended_at = 0;
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at > 0;
CREATE INDEX jobs_by_digest ON jobs (tenant, digest) WHERE ended_at = 0;

-- state: 0 waits, 1 runs, 2 has its result, 3 will have none.
CREATE TABLE lines (
    job         INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    custom_id   TEXT NOT NULL,
    state       INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    fails       INTEGER NOT NULL DEFAULT 0,
    not_before  INTEGER NOT NULL,
    token       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, n)
) WITHOUT ROWID;
CREATE INDEX lines_waiting ON lines (job, not_before, n) WHERE state = 0;
CREATE INDEX lines_running ON lines (lease_until) WHERE state = 1;

CREATE TABLE bodies (
    job  INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (job, n)
);

-- A line's one result.
CREATE TABLE results (
    job          INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    request_id   TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL,
    code         TEXT NOT NULL,
    message      TEXT NOT NULL,
    PRIMARY KEY (job, n)
);

-- What a key of the caller's stands for.
CREATE TABLE idempotency (
    tenant     TEXT NOT NULL CHECK (tenant <> ''),
    key        TEXT NOT NULL,
    digest     BLOB NOT NULL,
    id         TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- Contents and jobs to be cleared away, piece by piece.
CREATE TABLE doomed (
    kind TEXT NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;

-- The greatest fencing token handed out.
CREATE TABLE fence (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    value INTEGER NOT NULL
);
INSERT INTO fence VALUES (1, 0);

-- Each row's hash covers the row and the hash before it.
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    tenant  TEXT NOT NULL,
    action  TEXT NOT NULL,
    object  TEXT NOT NULL,
    address TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    hash    BLOB NOT NULL
);
-- +goose StatementBegin
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_never_shrinks BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit;
DROP TABLE fence;
DROP TABLE doomed;
DROP TABLE idempotency;
DROP TABLE results;
DROP TABLE bodies;
DROP TABLE lines;
DROP TABLE jobs;
DROP TABLE uploads;
DROP TABLE chunks;
DROP TABLE files;
