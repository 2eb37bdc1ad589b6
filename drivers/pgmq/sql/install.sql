{{- /* What a database without PGMQ needs before its first queue. */ -}}

{{- /* What is there. A trigger function of an older version is replaced by its
owner. Who may not refer to pgmq.meta creates queues, but no bindings. */ -}}
{{define "has schema"}}
SELECT
  pg_catalog.to_regnamespace('pgmq'::text) IS NOT NULL,
  pg_catalog.to_regclass('pgmq.meta'::text) IS NOT NULL,
  pg_catalog.to_regclass('pgmq.notify_insert_throttle'::text) IS NOT NULL,
  EXISTS (
    SELECT FROM pg_catalog.pg_proc f
    WHERE f.oid = pg_catalog.to_regprocedure('pgmq.mq_notify_insert()'::text)::oid
      AND (
        pg_catalog.strpos(f.prosrc, 'pg_try_advisory_xact_lock'::text) > 0
        OR NOT pg_catalog.pg_has_role(f.proowner, 'USAGE'::text)
      )
  ),
  pg_catalog.to_regclass('pgmq.mq_keys'::text) IS NOT NULL,
  pg_catalog.to_regclass('pgmq.topic_bindings'::text) IS NOT NULL
    OR NOT coalesce(
      pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgmq.meta'::text)::oid, 'REFERENCES'::text), true
    ),
  pg_catalog.to_regclass('pgmq.mq_paused'::text) IS NOT NULL,
  pg_catalog.to_regclass('pgmq.mq_consumers'::text) IS NOT NULL
{{end}}

{{define "has table"}}SELECT pg_catalog.to_regclass($1::text) IS NOT NULL{{end}}

{{define "make schema"}}CREATE SCHEMA IF NOT EXISTS pgmq{{end}}

{{define "make meta"}}
CREATE TABLE IF NOT EXISTS pgmq.meta (
  queue_name varchar UNIQUE NOT NULL,
  is_partitioned boolean NOT NULL,
  is_unlogged boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
)
{{end}}

{{define "make throttle"}}
CREATE UNLOGGED TABLE IF NOT EXISTS pgmq.notify_insert_throttle (
  queue_name varchar UNIQUE NOT NULL REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
  throttle_interval_ms integer NOT NULL DEFAULT 0,
  last_notified_at timestamptz NOT NULL DEFAULT pg_catalog.to_timestamp(0::float8)
)
{{end}}

{{- /* The trigger function of the queues created here. Unlike PGMQ's it runs once a
statement; it restores a missing row, as after a crash; and it never waits for another
sender's transaction: not for its lock on the row, nor for a row that it is about to
insert. */ -}}
{{define "make notify function"}}
CREATE OR REPLACE FUNCTION pgmq.mq_notify_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  queue text := TG_ARGV[0];
  every integer := TG_ARGV[1];
BEGIN
  -- Above this isolation a row lock could fail the transaction.
  IF pg_catalog.current_setting('transaction_isolation'::text) <> 'read committed'::text THEN
    PERFORM pg_catalog.pg_notify('pgmq.'::text || TG_TABLE_NAME::text || '.INSERT'::text, ''::text);
    RETURN NULL;
  END IF;

  PERFORM FROM pgmq.notify_insert_throttle
  WHERE queue_name::text = queue
    AND last_notified_at
      > pg_catalog.clock_timestamp() - throttle_interval_ms::float8 * interval '1 millisecond';
  IF FOUND THEN
    RETURN NULL;
  END IF;

  PERFORM FROM pgmq.notify_insert_throttle WHERE queue_name::text = queue FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    UPDATE pgmq.notify_insert_throttle
    SET last_notified_at = pg_catalog.clock_timestamp()
    WHERE queue_name::text = queue;
  ELSIF pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('pgmq.mq_throttle_'::text || queue)::bigint)
    AND NOT EXISTS (SELECT FROM pgmq.notify_insert_throttle WHERE queue_name::text = queue) THEN
    BEGIN
      INSERT INTO pgmq.notify_insert_throttle VALUES (queue, every, pg_catalog.clock_timestamp())
      ON CONFLICT DO NOTHING;
    EXCEPTION WHEN foreign_key_violation THEN
      -- The queue is not in pgmq.meta, which is no reason to refuse messages.
    END;
  END IF;

  PERFORM pg_catalog.pg_notify('pgmq.'::text || TG_TABLE_NAME::text || '.INSERT'::text, ''::text);
  RETURN NULL;
END
$body$
{{end}}
