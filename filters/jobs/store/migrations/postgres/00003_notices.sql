-- +goose Up
-- What somebody is to be told of by webhook, until it was told. Nothing that callers have
-- sent is in it: the worker tells.
CREATE TABLE notices (
    id         text PRIMARY KEY,
    kind       text NOT NULL,
    object     text NOT NULL,
    origin     text NOT NULL,
    status     text NOT NULL,
    created_at bigint NOT NULL,
    attempts   bigint NOT NULL,
    not_before bigint NOT NULL,
    tenant     text NOT NULL DEFAULT current_setting('friday.tenant', true) CHECK (tenant <> '')
);
CREATE INDEX notices_waiting ON notices (not_before);
ALTER TABLE notices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON notices FROM PUBLIC;
CREATE POLICY for_backup ON notices FOR SELECT TO friday_backup USING (true);
CREATE POLICY for_worker ON notices TO friday_worker USING (true) WITH CHECK (true);
CREATE POLICY of_tenant ON notices TO friday_runtime USING (tenant = current_setting('friday.tenant', true))
    WITH CHECK (tenant = current_setting('friday.tenant', true));
GRANT SELECT ON notices TO friday_backup;
GRANT SELECT, INSERT, DELETE ON notices TO friday_runtime;
GRANT SELECT, DELETE, UPDATE (attempts, not_before) ON notices TO friday_worker;

-- +goose Down
DROP TABLE notices;
