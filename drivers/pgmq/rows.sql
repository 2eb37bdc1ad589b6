{{- /* Messages as the server prints them, which it reads back as the same. The
conventions are those of statements.sql. */ -}}
{{define "rows"}}
SELECT q.msg_id, q.message::text, ({{template "headers" .}})::text FROM {{.Q}} q WHERE q.msg_id = ANY($1::bigint[]) ORDER BY q.msg_id
{{end}}
