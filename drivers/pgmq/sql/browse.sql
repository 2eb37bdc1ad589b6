{{- /* A page of up to $2 messages behind id $1, whatever their state: of those with the
ids $3, if .ByID. */ -}}
{{define "browse"}}
SELECT {{template "record" .}}
FROM ({{template "page" .}}) q{{template "with body" .}}
ORDER BY q.msg_id{{template "direction" .}}
{{end}}

{{- /* The rows of a page. Its LIMIT keeps the bodies of all others from being read. */ -}}
{{define "page"}}
  SELECT *
  FROM {{.Q}} q
  WHERE q.msg_id {{template "behind" .}} $1::bigint
    {{- if .ByID}} AND q.msg_id = ANY($3::bigint[]){{end}}
  ORDER BY q.msg_id{{template "direction" .}}
  LIMIT {{.Rows}}::int
{{end}}
{{define "behind"}}{{if .Newest}}<{{else}}>{{end}}{{end}}
{{define "direction"}}{{if .Newest}} DESC{{end}}{{end}}

{{- /* The columns of a record. The state has the numbers of driver.State and is told as
Stats does. Without .Cut the size is that of the body, and not needed. */ -}}
{{define "record"}}
{{- template "delivery" .}},
{{template "state" .}},
{{template "body size" .}},
{{if .Archive}}CASE WHEN pg_catalog.isfinite(q.archived_at) THEN q.archived_at END
{{- else}}NULL::timestamptz{{end}}
{{- end}}
{{define "state"}}
  {{- if .Archive}}4{{else}}CASE
  WHEN q.vt <= pg_catalog.statement_timestamp() THEN 1
  WHEN {{template "is leased" .}} THEN 2
  ELSE 3
END{{end}}
{{- end}}

{{define "body size"}}{{if and .Cut (not .Blind)}}b.size{{else}}NULL::int{{end}}{{end}}

{{- /* With .Cut, the beginning and the size of the body of q. OFFSET keeps the server
from making the body twice. */ -}}
{{define "with body"}}
  {{- if and .Cut (not .Blind)}}
CROSS JOIN LATERAL (
  SELECT pg_catalog.substr(w.whole, 1, {{.Cut}}::int) AS body, pg_catalog.octet_length(w.whole) AS size
  FROM (SELECT {{template "body"}} AS whole OFFSET 0) w
) b
  {{- end}}
{{- end}}

{{- /* The bytes of a body as decodeBody returns them: what is in an envelope, or the
JSON. What is no base64 is no envelope. */ -}}
{{define "body"}}CASE
      WHEN {{template "is text"}}
      THEN pg_catalog.convert_to(q.message ->> 'mq:text'::text, 'UTF8'::name)
      WHEN {{template "is base64"}}
      THEN pg_catalog.decode(q.message ->> 'mq:base64'::text, 'base64'::text)
      ELSE pg_catalog.convert_to(q.message::text, 'UTF8'::name)
    END
{{- end}}
{{define "is text"}}
  {{- ""}}CASE
        WHEN pg_catalog.jsonb_typeof(q.message -> 'mq:text'::text) = 'string'::text
        THEN q.message - 'mq:text'::text = '{}'::jsonb
      END
{{- end}}
{{define "is base64"}}
  {{- ""}}CASE
        WHEN pg_catalog.jsonb_typeof(q.message -> 'mq:base64'::text) = 'string'::text
        THEN q.message - 'mq:base64'::text = '{}'::jsonb
          AND q.message ->> 'mq:base64'::text
            ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$'::text
      END
{{- end}}

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
