{{- /* Queues that are paused, by their names. Other programs may have dropped one and left
its row. */ -}}
{{define "make paused"}}
CREATE TABLE IF NOT EXISTS pgmq.mq_paused (
  queue text COLLATE "C" PRIMARY KEY,
  since timestamptz NOT NULL,
  by text NOT NULL
)
{{end}}

{{- /* Pauses the queue $1, for $3, or ends that, and notifies the channel $2 if it makes a
difference. It returns whether there is such a queue. */ -}}
{{define "pause"}}
WITH i AS (
  INSERT INTO pgmq.mq_paused (queue, since, by)
  SELECT $1::text, pg_catalog.statement_timestamp(), $3::text
  WHERE EXISTS ({{template "table of" "$1::text"}})
  ON CONFLICT (queue) DO NOTHING
  RETURNING pg_catalog.pg_notify($2::text, ''::text)
)
SELECT EXISTS ({{template "table of" "$1::text"}}), (SELECT pg_catalog.count(*) FROM i)
{{end}}
{{define "resume"}}
WITH d AS (
  DELETE FROM pgmq.mq_paused
  WHERE queue = $1::text COLLATE "C"
  RETURNING pg_catalog.pg_notify($2::text, ''::text)
)
SELECT EXISTS ({{template "table of" "$1::text"}}), (SELECT pg_catalog.count(*) FROM d)
{{end}}

{{define "paused"}}
SELECT p.queue, p.by, CASE WHEN pg_catalog.isfinite(p.since) THEN p.since END
FROM pgmq.mq_paused p
WHERE EXISTS ({{template "table of" "p.queue"}})
ORDER BY p.queue
{{end}}

{{- /* The table of a queue. */ -}}
{{define "table of"}}
    SELECT
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pgmq'::name
      AND c.relname = 'q_'::text || {{.}}
      AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition
  {{end}}

{{- /* Whether there is the table, and the role may end pauses. */ -}}
{{define "may resume"}}
SELECT coalesce(
  pg_catalog.has_table_privilege(t, 'SELECT'::text) AND pg_catalog.has_table_privilege(t, 'DELETE'::text),
  false
)
FROM CAST(pg_catalog.to_regclass('pgmq.mq_paused'::text) AS oid) AS t
{{end}}
