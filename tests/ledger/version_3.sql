PRAGMA application_id = 1162695251;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE counter (
        metric TEXT NOT NULL,
        labels TEXT NOT NULL,
        value TEXT NOT NULL,
        shown TEXT NOT NULL,
        PRIMARY KEY (metric, labels)) WITHOUT ROWID;
INSERT INTO "counter" VALUES('emr_serverless_spark_exporter_sessions_readmitted_total','["w-1", "lc-1"]','1','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_exporter_usage_revisions_total','["w-1", "lc-1"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_cu_hours_overcounted','["w-1", "lc-1", "dev"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_cu_hours_overcounted','["w-1", "lc-1", "q"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_cu_hours_total','["w-1", "lc-1", "dev"]','7','7');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_cu_hours_total','["w-1", "lc-1", "q"]','12','8');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_mb_seconds_total','["w-1", "lc-1", "dev"]','21','21');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_mb_seconds_total','["w-1", "lc-1", "q"]','36','24');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_proxy_user_cu_hours_total','["w-1", "lc-1", "ann"]','12','8');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_proxy_user_cu_hours_total','["w-1", "lc-1", "bob"]','7','7');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_proxy_user_mb_seconds_total','["w-1", "lc-1", "ann"]','36','24');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_proxy_user_mb_seconds_total','["w-1", "lc-1", "bob"]','21','21');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_proxy_user_vcore_seconds_total','["w-1", "lc-1", "ann"]','24','16');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_proxy_user_vcore_seconds_total','["w-1", "lc-1", "bob"]','14','14');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_ended_total','["w-1", "lc-1", "dev", "error"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_ended_total','["w-1", "lc-1", "dev", "terminated"]','1','1');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_ended_total','["w-1", "lc-1", "dev", "unknown"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_ended_total','["w-1", "lc-1", "q", "error"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_ended_total','["w-1", "lc-1", "q", "terminated"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_ended_total','["w-1", "lc-1", "q", "unknown"]','1','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_started_total','["w-1", "lc-1", "dev"]','1','1');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_sessions_started_total','["w-1", "lc-1", "q"]','2','2');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_vcore_seconds_total','["w-1", "lc-1", "dev"]','14','14');
INSERT INTO "counter" VALUES('emr_serverless_spark_livy_vcore_seconds_total','["w-1", "lc-1", "q"]','24','16');
INSERT INTO "counter" VALUES('emr_serverless_spark_session_cluster_state_entries_total','["w-1", "SQL", "q", "error"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_session_cluster_state_entries_total','["w-1", "SQL", "q", "not_started"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_session_cluster_state_entries_total','["w-1", "SQL", "q", "running"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_session_cluster_state_entries_total','["w-1", "SQL", "q", "starting"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_session_cluster_state_entries_total','["w-1", "SQL", "q", "stopped"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_session_cluster_state_entries_total','["w-1", "SQL", "q", "stopping"]','0','0');
INSERT INTO "counter" VALUES('emr_serverless_spark_session_cluster_state_entries_total','["w-1", "SQL", "q", "unknown"]','0','0');
CREATE TABLE discovered (workspace_id TEXT PRIMARY KEY, gateways INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "discovered" VALUES('w-1',1);
CREATE TABLE forgotten (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        session_id TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (gateway_id, session_id, created_ms)) WITHOUT ROWID;
CREATE TABLE gateway (
        gateway_id INTEGER PRIMARY KEY,
        workspace_id TEXT NOT NULL,
        livy_compute_id TEXT NOT NULL,
        contacted INTEGER NOT NULL DEFAULT 0,
        dropped_ms INTEGER, listing_order TEXT NOT NULL DEFAULT '',
        UNIQUE (workspace_id, livy_compute_id));
INSERT INTO "gateway" VALUES(1,'w-1','lc-1',1,1795857873000,'newest first');
CREATE TABLE ledger (created_at REAL NOT NULL, knows_prometheus INTEGER NOT NULL DEFAULT 0);
INSERT INTO "ledger" VALUES(1780000000.0,0);
CREATE TABLE listing_place (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        session_id TEXT NOT NULL,
        serial INTEGER NOT NULL,
        listed_ms INTEGER NOT NULL,
        rank INTEGER NOT NULL,
        PRIMARY KEY (gateway_id, session_id, serial)) WITHOUT ROWID;
INSERT INTO "listing_place" VALUES(1,'b',0,1000000,1);
CREATE TABLE region (
        account TEXT NOT NULL,
        region_id TEXT NOT NULL,
        workspaces INTEGER NOT NULL,
        PRIMARY KEY (account, region_id)) WITHOUT ROWID;
CREATE TABLE remainder (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        queue TEXT NOT NULL,
        nano_cu_hours TEXT NOT NULL,
        PRIMARY KEY (gateway_id, queue)) WITHOUT ROWID;
INSERT INTO "remainder" VALUES(1,'q','1');
CREATE TABLE session (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        session_id TEXT NOT NULL,
        serial INTEGER NOT NULL,
        created_ms INTEGER,
        queue TEXT NOT NULL,
        proxy_user TEXT NOT NULL,
        nano_cu_hours INTEGER NOT NULL,
        vcore_seconds INTEGER NOT NULL,
        mb_seconds INTEGER NOT NULL,
        latest_nano_cu_hours INTEGER NOT NULL,
        ended TEXT NOT NULL,
        ended_at REAL,
        unlisted_at REAL,
        PRIMARY KEY (gateway_id, session_id, serial)) WITHOUT ROWID;
INSERT INTO "session" VALUES(1,'a',0,1000000,'q','ann',9,18,27,9,'',NULL,NULL);
INSERT INTO "session" VALUES(1,'b',0,1100000,'dev','bob',7,14,21,7,'terminated',NULL,NULL);
INSERT INTO "session" VALUES(1,'c',0,1780950350000,'q','ann',2,4,6,2,'unknown',NULL,NULL);
CREATE TABLE session_cluster (
        workspace_id TEXT NOT NULL,
        session_cluster_id TEXT NOT NULL,
        state TEXT NOT NULL,
        started_ms INTEGER,
        state_since REAL NOT NULL,
        unlisted_at REAL,
        PRIMARY KEY (workspace_id, session_cluster_id)) WITHOUT ROWID;
INSERT INTO "session_cluster" VALUES('w-1','sc-1','error',5,1780000000.0,NULL);
CREATE TABLE workspace (workspace_id TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO "workspace" VALUES('w-1');
CREATE INDEX session_by_end ON session (gateway_id, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX session_by_leaving ON session (gateway_id, unlisted_at)
        WHERE unlisted_at IS NOT NULL;
COMMIT;
