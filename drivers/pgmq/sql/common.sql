{{- /*
All SQL of the driver, one file for each capability. Values are bound. Braces
hold names and constants, quoted by ident or literal, columns that the catalog
shows, and parts that several statements share.

Three rules hold everywhere:

1. vt is compared with pg_catalog.statement_timestamp(): a volatile clock would
   keep the index on vt from being used.
2. Rows are found by "= ANY(ARRAY(SELECT ...))", not by a join: the generic plan
   of a join hashes the whole table.
3. A statement that waits for row locks takes them in the order of msg_id, so
   that no two statements wait for each other.

Nothing is resolved through search_path, where other roles may have created
functions and operators: functions and tables are named with their schema, and
both sides of an operator have exactly the types that pg_catalog has it for.
Literals have a type, too, except in a list after IN, where the column gives it.
unnest of several arrays is syntax, like coalesce.
*/ -}}

{{- /* An interval of so many microseconds, a time given as microseconds since 1970,
and an interval or a time in microseconds. */ -}}
{{define "micros"}}{{.}}::float8 * interval '1 microsecond'{{end}}
{{define "time"}}timestamptz 'epoch' + {{.}}::float8 * interval '1 microsecond'{{end}}
{{define "in micros"}}(extract(epoch FROM {{.}})::float8 * 1000000::float8)::bigint{{end}}
{{define "clock"}}SELECT {{template "in micros" "pg_catalog.clock_timestamp()"}}{{end}}

{{- /* The columns of a message, as leases.scan reads them. Other programs may
write infinite times, which the client libraries cannot read. A blind statement
reads no contents: they may be impossible to print. With .Cut the body is its
beginning, see "with body". */ -}}
{{define "delivery"}}
q.msg_id,
q.read_ct,
CASE WHEN pg_catalog.isfinite(q.enqueued_at) THEN q.enqueued_at END,
CASE WHEN pg_catalog.isfinite(q.vt) THEN q.vt END,
{{template "contents" .}}
{{- end}}
{{define "contents"}}
  {{- if .Blind}}NULL::jsonb, NULL::jsonb
  {{- else}}{{if .Cut}}b.body{{else}}q.message{{end}}, {{template "headers" .}}{{end}}
{{- end}}
{{define "headers"}}{{if .Headers}}q.headers{{else}}NULL::jsonb{{end}}{{end}}

{{- /* The group of a message, of which a blind statement says nothing. */ -}}
{{define "key"}}{{if and .Key (not .Blind)}}{{.Key}}{{else}}NULL::text{{end}}{{end}}

{{- /* The size of a message in the table, which is known without reading it. */ -}}
{{define "size"}}
  {{- ""}}coalesce(pg_catalog.pg_column_size(message), 0)
  {{- if .Headers}} + coalesce(pg_catalog.pg_column_size(headers), 0){{end}}
{{- end}}

{{- /* Its size when printed. It may be far larger: a number of 10 bytes may have
100,000 digits, and the table is compressed. */ -}}
{{define "printed size"}}
  {{- ""}}coalesce(pg_catalog.octet_length(message::text), 0)
  {{- if .Headers}} + coalesce(pg_catalog.octet_length(headers::text), 0){{end}}
{{- end}}

{{- /* What "fit" needs of a row. */ -}}
{{define "sized"}}
  {{- ""}}msg_id, {{template "size" .}} AS size
  {{- if .Measured}}, message{{if .Headers}}, headers{{end}}{{end}}
{{- end}}

{{- /* The CTE fit takes from c what one answer has room for: 8 MiB as stored, and
at least one message, since more may not get through before the statement is cut
off. A measured statement is bounded by 8 MiB of printed size as well. To find
that out it prints no more than 8 MiB of stored messages, which costs a fifth
more. */ -}}
{{define "fit"}}
fit AS MATERIALIZED (
  {{- if .Measured}}
  SELECT msg_id
  FROM (
    SELECT msg_id, pg_catalog.sum({{template "printed size" .}}) OVER {{template "before"}} AS printed
    FROM (SELECT c.*, pg_catalog.sum(size) OVER {{template "before"}} AS stored FROM c) s
    WHERE coalesce(stored, 0) < 8388608
  ) t
  WHERE coalesce(printed, 0) < 8388608
  {{- else}}
  SELECT msg_id
  FROM (SELECT c.*, pg_catalog.sum(size) OVER {{template "before"}} AS stored FROM c) s
  WHERE coalesce(stored, 0) < 8388608
  {{- end}}
)
{{- end}}
{{define "before"}}(ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING){{end}}
