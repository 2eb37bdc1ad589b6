{{- /* What Consumers report of themselves. A crash of the server may empty the table. */ -}}
{{define "make consumers"}}
CREATE UNLOGGED TABLE IF NOT EXISTS pgmq.mq_consumers (
  id text COLLATE "C" PRIMARY KEY,
  queue text NOT NULL,
  report jsonb NOT NULL,
  seen timestamptz NOT NULL,
  until timestamptz NOT NULL
) WITH (fillfactor = 50)
{{end}}

{{- /* Stores the report $3 of the Consumer $1 on the queue $2 for $4 microseconds. Now and
then it removes some of those that have expired, except for locked ones and its own. */ -}}
{{define "report"}}
{{- if .}}
WITH d AS (
  DELETE FROM pgmq.mq_consumers
  WHERE id = ANY(ARRAY(
    SELECT id
    FROM pgmq.mq_consumers
    WHERE until <= pg_catalog.statement_timestamp() AND id <> $1::text COLLATE "C"
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
  ))
)
{{- end}}
INSERT INTO pgmq.mq_consumers (id, queue, report, seen, until)
VALUES (
  $1::text,
  $2::text,
  $3::text::jsonb,
  pg_catalog.statement_timestamp(),
  pg_catalog.statement_timestamp() + {{template "micros" "$4::bigint"}}
)
ON CONFLICT (id) DO UPDATE
SET queue = excluded.queue, report = excluded.report, seen = excluded.seen, until = excluded.until
{{end}}
{{define "forget report"}}DELETE FROM pgmq.mq_consumers WHERE id = $1::text COLLATE "C"{{end}}

{{define "consumers"}}
SELECT id, queue, report, seen
FROM pgmq.mq_consumers
WHERE until > pg_catalog.statement_timestamp() AND ($1::text = ''::text OR queue = $1::text)
{{end}}
