{{- /* Creates and drops queues, by PGMQ's functions where they are. */ -}}
{{define "pgmq create"}}SELECT FROM pgmq.create($1::text){{end}}
{{define "pgmq create unlogged"}}SELECT FROM pgmq.create_unlogged($1::text){{end}}
{{define "pgmq create partitioned"}}SELECT FROM pgmq.create_partitioned($1::text, $2::text, $3::text){{end}}
{{define "pgmq drop"}}SELECT FROM pgmq.drop_queue($1::text){{end}}

{{- /* The names under which PGMQ knows the queue $1. Without pg_partman it cannot drop
a partitioned queue. */ -}}
{{define "spellings"}}
SELECT queue_name
FROM pgmq.meta
WHERE pg_catalog.lower(queue_name::text) = $1::text
  AND (
    NOT is_partitioned
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_partman'::name)
  )
ORDER BY 1
{{end}}

{{define "make queue"}}
CREATE {{if .Unlogged}}UNLOGGED {{end}}TABLE IF NOT EXISTS {{.Q}} (
  msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  read_ct integer NOT NULL DEFAULT 0,
  enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  last_read_at timestamptz,
  vt timestamptz NOT NULL,
  message jsonb,
  headers jsonb
)
{{end}}
{{define "make index"}}CREATE INDEX IF NOT EXISTS {{.VTIndex}} ON {{.Q}} (vt){{end}}

{{define "make archive"}}
CREATE TABLE IF NOT EXISTS {{.A}} (
  msg_id bigint PRIMARY KEY,
  read_ct integer NOT NULL DEFAULT 0,
  enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  last_read_at timestamptz,
  archived_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  vt timestamptz NOT NULL,
  message jsonb,
  headers jsonb
)
{{end}}
{{define "make archive index"}}CREATE INDEX IF NOT EXISTS {{.ArchivedAtIndex}} ON {{.A}} (archived_at){{end}}

{{- /* Columns that the tables of older versions lack. */ -}}
{{define "add headers"}}ALTER TABLE {{.}} ADD COLUMN IF NOT EXISTS headers jsonb{{end}}
{{define "add last_read_at"}}ALTER TABLE {{.}} ADD COLUMN IF NOT EXISTS last_read_at timestamptz{{end}}

{{- /* Queues change much faster than the defaults expect. */ -}}
{{define "tune queue"}}
ALTER TABLE {{.Q}} SET (
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 500,
  autovacuum_analyze_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0
)
{{end}}

{{- /* Enters the queue $1 with the table $2 in PGMQ's table of queues. */ -}}
{{define "make meta row"}}
INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged)
SELECT $1::text, c.relkind = 'p', c.relpersistence = 'u'
FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass($2::text)::oid
  AND NOT EXISTS (SELECT FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text)
ON CONFLICT DO NOTHING
{{end}}

{{- /* Sessions of this driver wake receivers themselves. */ -}}
{{define "make trigger"}}
CREATE TRIGGER {{template "trigger"}} AFTER INSERT ON {{.Q}}
FOR EACH STATEMENT
WHEN (pg_catalog.current_setting('mq.notify'::text, true) IS DISTINCT FROM 'own'::text)
EXECUTE FUNCTION pgmq.mq_notify_insert({{.Literal}}, '{{.Every}}')
{{end}}
{{define "make throttle row"}}
INSERT INTO pgmq.notify_insert_throttle (queue_name, throttle_interval_ms)
SELECT queue_name, $2::int FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text
ON CONFLICT DO NOTHING
{{end}}

{{- /* What changes the interval of an existing queue. */ -}}
{{define "drop trigger"}}DROP TRIGGER IF EXISTS {{template "trigger"}} ON {{.Q}}{{end}}
{{define "trigger"}}trigger_notify_queue_insert_listeners{{end}}
{{define "set throttle row"}}
UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = $2::int
WHERE pg_catalog.lower(queue_name::text) = $1::text
{{end}}
{{define "drop throttle row"}}
DELETE FROM pgmq.notify_insert_throttle WHERE pg_catalog.lower(queue_name::text) = $1::text
{{end}}

{{- /* How PGMQ spells the queue $1. */ -}}
{{define "spelling"}}
SELECT queue_name
FROM pgmq.meta
WHERE pg_catalog.lower(queue_name::text) = $1::text
ORDER BY queue_name::text = $1::text DESC
LIMIT 1
{{end}}

{{- /* Makes ids begin above those of the archive and of the queue, if the sequence
has been set back. */ -}}
{{define "raise ids"}}
SELECT pg_catalog.setval(s, top)
FROM (
  SELECT
    s,
    pg_catalog.pg_sequence_last_value(s) AS last,
    greatest(
      (SELECT pg_catalog.max(msg_id) FROM {{.Q}}),
      (SELECT pg_catalog.max(msg_id) FROM {{.A}} WHERE msg_id < {{template "drawn ids"}})
    ) AS top
  FROM {{template "sequence" .}}
) t
WHERE top > coalesce(last, 0)
{{end}}

{{define "drop queue"}}DROP TABLE IF EXISTS {{.Q}}{{end}}
{{define "drop archive"}}DROP TABLE IF EXISTS {{.A}}{{end}}
{{define "drop meta rows"}}DELETE FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text{{end}}

{{- /* The indexes of a grouping. There is no IF NOT EXISTS with CONCURRENTLY: an index
that another session is creating exists already and is not valid yet, so its name must
be an error. */ -}}
{{define "make group index"}}
CREATE INDEX {{template "index how" .}} {{.GroupIndex}}
ON {{.Q}} (({{.Key}}), msg_id)
WHERE ({{.Key}}) IS NOT NULL
{{end}}
{{define "make lease index"}}
CREATE INDEX {{template "index how" .}} {{.LeaseIndex}}
ON {{.Q}} (({{.Key}}), (vt AT TIME ZONE 'UTC'))
{{- if not .Limited}}
WHERE read_ct > 0 OR ({{.Key}}) IS NULL{{end}}
{{end}}
{{define "index how"}}{{if .Concurrently}}CONCURRENTLY{{else}}IF NOT EXISTS{{end}}{{end}}
{{define "drop index"}}DROP INDEX CONCURRENTLY IF EXISTS pgmq.{{.}}{{end}}
