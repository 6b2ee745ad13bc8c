-- A database for the ledger, a role, and the schema that this role may use: all three have one name.
-- README.md in this folder has the steps. Another name: psql -v name=emr_exporter_2 ...
\set ON_ERROR_STOP on
\if :{?name}
\else
    \set name emr_exporter
\endif

-- A role that exists, as when a dump is restored, stays as it is.
SELECT format('CREATE ROLE %I LOGIN', :'name')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
CREATE DATABASE :"name" ENCODING 'UTF8' TEMPLATE template0;

-- Everybody else of this server stays outside.
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"name" TO :"name";

\connect :"name"
-- Before PostgreSQL 15 everybody may make tables in it.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- The role owns the schema, so it needs no right on the database to make tables. An administrator
-- who is not a superuser may give away what a role of theirs owns.
GRANT :"name" TO CURRENT_USER;
CREATE SCHEMA :"name" AUTHORIZATION :"name";
REVOKE :"name" FROM CURRENT_USER;
