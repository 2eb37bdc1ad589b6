{{- /* Leases up to $1 visible messages for $2 microseconds. */ -}}
{{define "claim"}}
WITH
{{template "due" .}},
{{template "fit" .}}
{{template "lease" .}}
RETURNING {{template "delivery" .}}
{{end}}

{{- /* Deletes up to $1 visible messages and returns them. */ -}}
{{define "pop"}}
WITH
{{template "due" .}},
{{template "fit" .}}
DELETE FROM {{.Q}} q
WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM fit))
RETURNING {{template "delivery" .}}
{{end}}

{{- /* Up to $1 visible messages, except those that another transaction has
locked. */ -}}
{{define "due"}}
  {{- ""}}c AS MATERIALIZED (
  SELECT {{template "sized" .}}
  FROM {{.Q}}
  WHERE vt <= pg_catalog.statement_timestamp()
  ORDER BY {{.Order}}
  LIMIT $1
  FOR UPDATE SKIP LOCKED
)
{{- end}}

{{- /* Leases what fits for $2 microseconds. */ -}}
{{define "lease"}}
UPDATE {{.Q}} q
SET
  vt = pg_catalog.clock_timestamp() + {{template "micros" "$2::bigint"}},
  {{if .LastReadAt}}last_read_at = pg_catalog.clock_timestamp(),
  {{end}}read_ct = least(q.read_ct, 2147483646) + 1
WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM fit))
{{- end}}

{{- /* The contents of the messages $1, as many as fit, for leases that were taken
blind, and pages. */ -}}
{{define "bodies"}}
WITH c AS MATERIALIZED (
  SELECT {{template "sized" .}} FROM {{.Q}} WHERE msg_id = ANY($1::bigint[]) ORDER BY msg_id
),
{{template "fit" .}}
SELECT q.msg_id, {{template "contents" .}}, {{template "key" .}}, {{template "body size" .}}
FROM {{.Q}} q{{template "with body" .}}
WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM fit))
{{end}}

{{- /* Is a message visible now, and in how many microseconds is the next one
due? */ -}}
{{define "probe"}}
SELECT
  EXISTS (SELECT FROM {{.Q}} WHERE vt <= pg_catalog.statement_timestamp()),
  (
    SELECT {{template "in micros" "vt - pg_catalog.statement_timestamp()"}}
    FROM {{.Q}}
    WHERE vt > pg_catalog.statement_timestamp() AND vt < 'infinity'::timestamptz
    ORDER BY vt
    LIMIT 1
  )
{{end}}
