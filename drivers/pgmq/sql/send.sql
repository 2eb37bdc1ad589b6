{{- /* Stores a batch: $1 delays in microseconds, $2 bodies, $3 headers. The vt of
its rows count microseconds from now on, so that the messages of one sender are
due in the order in which they were sent, after what it sent before, and none too
early. Inserting a row takes longer than a microsecond. */ -}}
{{define "insert"}}
INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
SELECT
  pg_catalog.statement_timestamp() + {{template "micros" "(coalesce(d, 0) + o - 1)"}},
  b::jsonb{{if .Headers}},
  h::jsonb{{end}}
FROM unnest($1::bigint[], $2::text[]{{if .Headers}}, $3::text[]{{end}})
  WITH ORDINALITY AS t(d, b{{if .Headers}}, h{{end}}, o)
ORDER BY o
RETURNING msg_id
{{end}}

{{- /* The same for one message, which is cheaper to plan and to encode. */ -}}
{{define "insert one"}}
INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
VALUES (
  pg_catalog.statement_timestamp() + {{template "micros" "$1::bigint"}},
  $2::text::jsonb{{if .Headers}},
  $3::text::jsonb{{end}}
)
RETURNING msg_id
{{end}}

{{- /* Both with a notification, which goes out when the transaction commits. */ -}}
{{define "insert notifying"}}
WITH {{template "notification" .}},
i AS ({{template "insert" .}})
SELECT msg_id FROM i CROSS JOIN n ORDER BY msg_id
{{end}}
{{define "insert one notifying"}}
WITH {{template "notification" .}},
i AS ({{template "insert one" .}})
SELECT msg_id FROM i CROSS JOIN n
{{end}}
{{define "notification"}}
  {{- ""}}n AS MATERIALIZED (SELECT pg_catalog.pg_notify({{if .Headers}}$4{{else}}$3{{end}}::text, ''::text))
{{- end}}

{{- /* Notifications alone, to the channels $1. */ -}}
{{define "notify"}}SELECT pg_catalog.pg_notify(c, ''::text) FROM pg_catalog.unnest($1::text[]) AS c{{end}}
