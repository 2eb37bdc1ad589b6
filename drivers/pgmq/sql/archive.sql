{{- /* Moves up to $2 messages from the archive back into the queue: those with the
ids $1, or the lowest if it is NULL, in that case only what was archived at $3, in
microseconds since 1970, or before. A message that is archived again meanwhile is
not redriven twice. $4 is the origin up to the id. */ -}}
{{define "redrive"}}
WITH l AS MATERIALIZED (
  SELECT msg_id
  FROM {{.A}}
  WHERE ($1::bigint[] IS NULL OR msg_id = ANY($1::bigint[]))
    AND ($3::bigint IS NULL OR archived_at <= {{template "time" "$3::bigint"}})
  ORDER BY msg_id
  LIMIT $2::bigint
  FOR UPDATE
),
x AS (
  DELETE FROM {{.A}} q
  WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM l))
  RETURNING q.msg_id, q.message{{if .Headers}}, q.headers{{end}}
),
i AS (
  INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
  SELECT
    {{template "in order"}},
    x.message
    {{- if .Headers}},
    CASE
      WHEN {{template "enclosed"}} THEN x.headers -> 'mq-headers'::text
      WHEN {{template "has room"}}
      THEN {{template "object"}} - 'mq-reason'::text - {{template "of nacks"}}
        || pg_catalog.jsonb_build_object('mq-origin'::text, $4::text || x.msg_id::text)
      ELSE x.headers
    END{{end}}
  FROM x
  ORDER BY x.msg_id
  RETURNING 1
)
SELECT pg_catalog.count(*) FROM i
{{end}}

{{- /* Whether headers that are not an object were put into one, see "reasoned". */ -}}
{{define "enclosed"}}
  {{- ""}}coalesce(pg_catalog.jsonb_typeof(x.headers -> 'mq-headers'::text), 'object'::text) <> 'object'::text
{{- end}}

{{- /* Deletes messages from {{.Q}}, the queue or its archive, in many short
transactions: each goes on after id $1 and deletes up to $3 rows, none above the
highest id that there was at the first ($2, NULL at first), so that a purge ends
however much is sent meanwhile. It returns how many rows there were, the last of
them, and the highest. */ -}}
{{define "purge"}}
WITH h AS MATERIALIZED (
  SELECT coalesce($2::bigint, (SELECT pg_catalog.max(msg_id) FROM {{.Q}})) AS highest
),
l AS MATERIALIZED (
  SELECT msg_id
  FROM {{.Q}}
  WHERE msg_id > $1::bigint AND msg_id <= (SELECT highest FROM h)
  ORDER BY msg_id
  LIMIT $3::bigint
  FOR UPDATE
),
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)))
SELECT pg_catalog.count(*), pg_catalog.max(msg_id), (SELECT highest FROM h) FROM l
{{end}}

{{- /* Deletes up to $2 messages that were archived at $1, in microseconds since
1970, or before. It returns how many it found, and how many it deleted. */ -}}
{{define "purge older"}}
WITH p AS MATERIALIZED (
  SELECT msg_id
  FROM {{.A}}
  WHERE archived_at <= {{template "time" "$1::bigint"}}
  ORDER BY archived_at
  LIMIT $2::bigint
),
l AS MATERIALIZED (
  SELECT msg_id FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p)) ORDER BY msg_id FOR UPDATE
),
d AS (
  DELETE FROM {{.A}}
  WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)) AND archived_at <= {{template "time" "$1::bigint"}}
  RETURNING 1
)
SELECT (SELECT pg_catalog.count(*) FROM p), (SELECT pg_catalog.count(*) FROM d)
{{end}}

{{- /* Deletes the messages $1 from the archive. */ -}}
{{define "remove archived"}}
WITH l AS MATERIALIZED (
  SELECT msg_id FROM {{.A}} WHERE msg_id = ANY($1::bigint[]) ORDER BY msg_id FOR UPDATE
),
d AS (DELETE FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)) RETURNING 1)
SELECT pg_catalog.count(*) FROM d
{{end}}
