-- +goose Up
-- What somebody is to be told of by webhook, until it was told.
CREATE TABLE notices (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL CHECK (tenant <> ''),
    kind       TEXT NOT NULL,
    object     TEXT NOT NULL,
    origin     TEXT NOT NULL,
    status     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    not_before INTEGER NOT NULL
);
CREATE INDEX notices_waiting ON notices (not_before);

-- +goose Down
DROP TABLE notices;
