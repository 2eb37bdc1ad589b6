{{- /*
Topics: PGMQ's table of bindings, since 1.11. It has queues as pgmq.meta spells them;
two spellings are one queue. A pattern is matched by its compiled_regex.
*/ -}}
{{- /* Whether there are bindings, and PGMQ's functions, which are to make them. */ -}}
{{define "has bindings"}}
SELECT
  pg_catalog.to_regclass('pgmq.topic_bindings'::text) IS NOT NULL,
  pg_catalog.to_regprocedure('pgmq.create(text)'::text) IS NOT NULL
{{end}}

{{- /* The same table as PGMQ's. */ -}}
{{define "make bindings"}}
CREATE TABLE IF NOT EXISTS pgmq.topic_bindings (
  pattern text NOT NULL,
  queue_name text NOT NULL
    CONSTRAINT topic_bindings_meta_queue_name_fk REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
  bound_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  compiled_regex text GENERATED ALWAYS AS (
    '^'::text
    || pg_catalog.replace(
      pg_catalog.replace(
        pg_catalog.regexp_replace(pattern, E'([.+?{}()|\\[\\]\\\\^$])'::text, E'\\\\\\1'::text, 'g'::text),
        '*'::text, '[^.]+'::text
      ),
      '#'::text, '.*'::text
    )
    || '$'::text
  ) STORED,
  CONSTRAINT topic_bindings_unique_pattern_queue UNIQUE (pattern, queue_name)
)
{{end}}

{{- /* Binds the queue $1 to the pattern $2, if pgmq.meta has the queue: then it returns
a row. */ -}}
{{define "bind"}}
WITH m AS MATERIALIZED ({{template "spelling"}}),
i AS (
  INSERT INTO pgmq.topic_bindings (pattern, queue_name)
  SELECT $2::text, queue_name::text FROM m
  ON CONFLICT (pattern, queue_name) DO NOTHING
)
SELECT queue_name FROM m
{{end}}
{{define "unbind"}}
DELETE FROM pgmq.topic_bindings
WHERE pg_catalog.lower(queue_name::text) = $1::text AND pattern = $2::text
{{end}}
{{define "bindings"}}
SELECT DISTINCT pg_catalog.lower(queue_name::text), pattern
FROM pgmq.topic_bindings
WHERE $1::text = ''::text OR pg_catalog.lower(queue_name::text) = $1::text
{{end}}

{{- /* The queues that are bound to the topic $1. Of more than 32 regular expressions the
server compiles each one anew; a LIKE, where * and # match any text, avoids most of that. A
pattern without * and # is only compared. */ -}}
{{define "bound"}}
SELECT DISTINCT pg_catalog.lower(queue_name::text) AS name
FROM pgmq.topic_bindings
WHERE CASE
  WHEN pattern = $1::text THEN true
  WHEN pg_catalog.strpos(pattern, '*'::text) = 0 AND pg_catalog.strpos(pattern, '#'::text) = 0 THEN false
  WHEN $1::text LIKE pg_catalog.translate(pattern, '*#'::text, '%%'::text) THEN $1::text ~ compiled_regex
  ELSE false
END
{{end}}

{{- /* Stores a batch in some queues: $1 the topic, $2 to $4 delays, bodies and headers as
"insert" has them, $5 the channels to notify. If these are not the queues that are bound
to the topic it stores nothing, and returns those that are. Else it returns for each
queue, by its place, the ids. */ -}}
{{define "publish"}}
WITH bound AS MATERIALIZED ({{template "bound"}}),
same AS MATERIALIZED (
  SELECT
    pg_catalog.count(*) = {{len .}}::bigint
    AND pg_catalog.bool_and(name IN ({{range $i, $q := .}}{{if $i}}, {{end}}{{$q.Name}}{{end}})) AS yes
  FROM bound
),
t AS MATERIALIZED (
  SELECT
    pg_catalog.statement_timestamp() + {{template "micros" "(coalesce(d, 0) + o - 1)"}} AS vt,
    b::jsonb AS message,
    h::jsonb AS headers
  FROM unnest($2::bigint[], $3::text[], $4::text[]) WITH ORDINALITY AS t(d, b, h, o)
  WHERE (SELECT yes FROM same)
  ORDER BY o
),
n AS MATERIALIZED (
  SELECT pg_catalog.pg_notify(c, ''::text)
  FROM pg_catalog.unnest($5::text[]) AS c
  WHERE (SELECT yes FROM same)
)
{{- range $i, $q := .}},
i{{$i}} AS (
  INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
  SELECT vt, message{{if .Headers}}, headers{{end}} FROM t
  RETURNING msg_id
)
{{- end}}
SELECT place, msg_id, name
FROM (
  SELECT -1 AS place, NULL::bigint AS msg_id, name FROM bound WHERE NOT (SELECT yes FROM same)
  {{- range $i, $q := .}}
  UNION ALL SELECT {{$i}}, msg_id, NULL::text FROM i{{$i}}
  {{- end}}
) r
CROSS JOIN (SELECT pg_catalog.count(*) FROM n) n
ORDER BY place, msg_id
{{end}}
