{{- /* Looks at up to $3 messages behind id $1, and stops at the $2nd that fits: $4 its
state, $5 and $6 a header and its value, $7 its group, $8 what mq-reason or mq-error has,
$9 and $10 times of sending in microseconds since 1970, $11 what the body has, in
hexadecimal. NULL, or a state of 0, fits all. It returns how many it has looked at, the
last of them, and whether that is the end: in one row if nothing fits, else beside each
record. */ -}}
{{define "search"}}
WITH found AS MATERIALIZED (
  SELECT q.*
  FROM (
    SELECT p.*, pg_catalog.row_number() OVER (ORDER BY p.msg_id{{template "direction" .}}) AS place
    FROM ({{template "page" .}}) p
  ) q
  WHERE {{template "fits" .}}
  ORDER BY q.msg_id{{template "direction" .}}
  LIMIT $2::int
),
{{/* What it has looked at ends with the last that fits, if there are as many as wanted. */ -}}
looked AS MATERIALIZED (
  SELECT pg_catalog.count(*) AS n, pg_catalog.{{if .Newest}}min{{else}}max{{end}}(k.msg_id) AS last
  FROM (
    SELECT q.msg_id
    FROM {{.Q}} q
    WHERE q.msg_id {{template "behind" .}} $1::bigint
    ORDER BY q.msg_id{{template "direction" .}}
    LIMIT least(
      $3::bigint,
      (SELECT CASE WHEN pg_catalog.count(*) = $2::bigint THEN pg_catalog.max(f.place) END FROM found f)
    )
  ) k
)
SELECT
  l.n,
  l.last,
  (SELECT e.msg_id FROM {{.Q}} e WHERE e.msg_id {{template "behind" .}} coalesce(l.last, $1::bigint) LIMIT 1)
    IS NULL,
  {{template "record" .}}
FROM looked l
LEFT JOIN found q ON true{{template "with body" .}}
ORDER BY q.msg_id{{template "direction" .}}
{{end}}

{{- /* Whether a message fits, as driver.Match has it. */ -}}
{{define "fits"}}
  {{- ""}}($4::int = 0 OR {{template "state" .}} = $4::int)
    AND ($5::text IS NULL OR {{template "header $5" .}} = $6::text)
    AND ($7::text IS NULL OR {{template "headers" .}} ->> 'x-pgmq-group'::text = $7::text)
    AND ($8::text IS NULL OR {{template "has reason" .}})
    AND ($9::bigint IS NULL OR {{template "sent at"}} >= $9::bigint)
    AND ($10::bigint IS NULL OR {{template "sent at"}} < $10::bigint)
    AND (
      $11::text IS NULL
      OR pg_catalog."position"({{template "body"}}, pg_catalog.decode($11::text, 'hex'::text)) > 0
    )
{{- end}}

{{- /* An infinite time is shown as that of year 1. */ -}}
{{define "sent at"}}CASE
      WHEN pg_catalog.isfinite(q.enqueued_at) THEN {{template "in micros" "q.enqueued_at"}}
      ELSE -62135596800000000
    END
{{- end}}

{{- /* The value of a header as decodeHeaders shows it: what is no string as JSON, null
included. */ -}}
{{define "header $5"}}
  {{- ""}}coalesce({{template "headers" .}} ->> $5::text, ({{template "headers" .}} -> $5::text)::text)
{{- end}}
{{define "has reason"}}(
      pg_catalog.strpos({{template "reason" .}}, $8::text) > 0
      OR pg_catalog.strpos(
        coalesce(
          {{template "headers" .}} ->> 'mq-error'::text,
          ({{template "headers" .}} -> 'mq-error'::text)::text
        ),
        $8::text
      ) > 0
    )
{{- end}}
{{define "reason"}}coalesce(
        {{template "headers" .}} ->> 'mq-reason'::text,
        ({{template "headers" .}} -> 'mq-reason'::text)::text
      )
{{- end}}

{{- /* How many of the newest $1 messages of the archive have each reason, '' for none, and
when the first and the last of them were archived. */ -}}
{{define "reasons"}}
SELECT
  coalesce({{template "reason" .}}, ''::text),
  pg_catalog.count(*),
  pg_catalog.min(q.archived_at) FILTER (WHERE pg_catalog.isfinite(q.archived_at)),
  pg_catalog.max(q.archived_at) FILTER (WHERE pg_catalog.isfinite(q.archived_at))
FROM (SELECT * FROM {{.A}} ORDER BY msg_id DESC LIMIT $1::int) q
GROUP BY 1
{{end}}
