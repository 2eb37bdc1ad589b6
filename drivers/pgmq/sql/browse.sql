{{- /* A page of up to $2 messages after id $1, whatever their state. */ -}}
{{define "browse"}}
SELECT {{template "delivery" .}}, NULL::timestamptz
FROM {{.Q}} q
WHERE q.msg_id > $1::bigint
ORDER BY q.msg_id
LIMIT $2::int
{{end}}
{{define "browse archive"}}
SELECT {{template "delivery" .}}, CASE WHEN pg_catalog.isfinite(q.archived_at) THEN q.archived_at END
FROM {{.A}} q
WHERE q.msg_id > $1::bigint
ORDER BY q.msg_id
LIMIT $2::int
{{end}}

{{- /* The messages $1 as the server prints them: it reads that back as the same
value. What nacks have written is left out, and headers that they have made are
NULL again. */ -}}
{{define "rows"}}
SELECT
  q.msg_id,
  q.message::text,
  {{if .Headers}}CASE
    WHEN pg_catalog.jsonb_typeof(q.headers) = 'object'::text
      AND pg_catalog.jsonb_exists_any(q.headers, {{template "of nacks"}})
    THEN nullif(q.headers - {{template "of nacks"}}, '{}'::jsonb)
    ELSE q.headers
  END::text{{else}}NULL::text{{end}}
FROM {{.Q}} q
WHERE q.msg_id = ANY($1::bigint[])
ORDER BY q.msg_id
{{end}}
