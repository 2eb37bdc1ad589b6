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
value. */ -}}
{{define "rows"}}
SELECT q.msg_id, q.message::text, ({{template "headers" .}})::text
FROM {{.Q}} q
WHERE q.msg_id = ANY($1::bigint[])
ORDER BY q.msg_id
{{end}}
