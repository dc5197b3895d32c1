-- What a database needs before Friday's jobs can be kept in it. Run it in that database, as a
-- superuser or as the database's owner with CREATEROLE; once, or again: roles are the server's,
-- so that a second database finds them there, and the two passwords are what was said last.
--
--   psql -v ON_ERROR_STOP=1 -v sidecar=... -v operator=... -f roles.sql
--
-- where the two variables are passwords. Afterwards `fridayctl jobs migrate` makes the tables.
-- docs/jobs.md says what each role is for.

-- Whom rows and rights are about. Nobody logs in as one of these.
SELECT format('CREATE ROLE %I NOLOGIN NOINHERIT', role) FROM unnest(ARRAY[
  'friday_owner',   -- owns the tables; sees no row of theirs
  'friday_runtime', -- acts for one tenant at a time
  'friday_worker',  -- hands out what is to be done, and reads no content
  'friday_backup'   -- reads everything
]) AS role WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec

-- Who logs in. NOINHERIT: without naming a role of the above it may do nothing.
SELECT format('CREATE ROLE %I LOGIN NOINHERIT', role) FROM unnest(ARRAY[
  'friday',         -- every sidecar
  'friday_operator' -- fridayctl
]) AS role WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE friday PASSWORD :'sidecar';
ALTER ROLE friday_operator PASSWORD :'operator';
GRANT friday_runtime, friday_worker TO friday;
GRANT friday_owner, friday_runtime, friday_worker, friday_backup TO friday_operator;

CREATE SCHEMA IF NOT EXISTS friday;
REVOKE ALL ON SCHEMA friday FROM PUBLIC;
GRANT USAGE ON SCHEMA friday TO friday_runtime, friday_worker, friday_backup;
GRANT USAGE, CREATE ON SCHEMA friday TO friday_owner;
