-- +goose Up
-- What the steps of a pipeline have answered, so that a run that was cut off goes on where
-- it was. version is the pipeline's.
CREATE TABLE steps (
    job          INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    version      TEXT NOT NULL,
    step         TEXT NOT NULL,
    status       INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL,
    PRIMARY KEY (job, n, version, step)
);

-- +goose Down
DROP TABLE steps;
