{{- /* Messages as the server prints them: it reads that back as the same value. The
conventions are those of statements.sql. */ -}}
{{define "rows"}}
SELECT q.msg_id, q.message::text, ({{template "headers" .}})::text FROM {{.Q}} q WHERE q.msg_id = ANY($1::bigint[]) ORDER BY q.msg_id
{{end}}
