-- +goose Up
-- The span of the request that a job was created by, as a traceparent; empty: it was not
-- sampled.
ALTER TABLE jobs ADD COLUMN creator TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE jobs DROP COLUMN creator;
