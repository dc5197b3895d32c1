-- What a database needs before Friday's jobs can be kept in it. Run it once, as a superuser or
-- as the database's owner with CREATEROLE, in that database:
--
--   psql -v ON_ERROR_STOP=1 -v sidecar=... -v operator=... -f roles.sql
--
-- where the two variables are passwords. Afterwards `fridayctl jobs migrate` makes the tables.
-- docs/jobs.md says what each role is for.

-- Whom rows and rights are about. Nobody logs in as one of these.
CREATE ROLE friday_owner   NOLOGIN NOINHERIT; -- owns the tables; sees no row of theirs
CREATE ROLE friday_runtime NOLOGIN NOINHERIT; -- acts for one tenant at a time
CREATE ROLE friday_worker  NOLOGIN NOINHERIT; -- hands out what is to be done, and reads no content
CREATE ROLE friday_backup  NOLOGIN NOINHERIT; -- reads everything

-- Who logs in. NOINHERIT: without naming a role of the above it may do nothing.
CREATE ROLE friday LOGIN NOINHERIT PASSWORD :'sidecar';            -- every sidecar
CREATE ROLE friday_operator LOGIN NOINHERIT PASSWORD :'operator';  -- fridayctl
GRANT friday_runtime, friday_worker TO friday;
GRANT friday_owner, friday_runtime, friday_worker, friday_backup TO friday_operator;

CREATE SCHEMA friday;
REVOKE ALL ON SCHEMA friday FROM PUBLIC;
GRANT USAGE ON SCHEMA friday TO friday_runtime, friday_worker, friday_backup;
GRANT USAGE, CREATE ON SCHEMA friday TO friday_owner;
