-- +goose Up
-- What the steps of a pipeline have answered, so that a run that was cut off goes on where
-- it was. version is the pipeline's.
CREATE TABLE steps (
    job          bigint NOT NULL,
    n            bigint NOT NULL,
    version      text NOT NULL,
    step         text NOT NULL,
    status       bigint NOT NULL,
    content_type text NOT NULL,
    body         bytea NOT NULL,
    tenant       text NOT NULL DEFAULT current_setting('friday.tenant', true) CHECK (tenant <> ''),
    PRIMARY KEY (job, n, version, step),
    FOREIGN KEY (job, tenant) REFERENCES jobs (seq, tenant)
);
ALTER TABLE steps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON steps FROM PUBLIC;
CREATE POLICY for_backup ON steps FOR SELECT TO friday_backup USING (true);
CREATE POLICY of_tenant ON steps TO friday_runtime USING (tenant = current_setting('friday.tenant', true))
    WITH CHECK (tenant = current_setting('friday.tenant', true));
GRANT SELECT ON steps TO friday_backup;
GRANT SELECT, INSERT, DELETE ON steps TO friday_runtime;

-- +goose Down
DROP TABLE steps;
