{{- /* Counts are exact up to $1. Where there is more, "sample" estimates: the
catalog's figures of a table may be from before it was filled. */ -}}
{{define "stats"}}
SELECT
  (
    SELECT pg_catalog.count(*)
    FROM (
      SELECT FROM {{.Q}} WHERE vt <= pg_catalog.statement_timestamp() ORDER BY vt LIMIT $1::int + 1
    ) v
  ),
  i.n,
  i.leased,
  {{if .Kept -}}
  (SELECT pg_catalog.count(*) FROM (SELECT FROM {{.A}} LIMIT $1::int + 1) a)
  {{- else}}0::bigint{{end}},
  {{template "age" .}} ORDER BY msg_id LIMIT 1),
  {{template "age" .}} ORDER BY msg_id DESC LIMIT 1),
  (
    SELECT
      CASE
        WHEN pg_catalog.has_sequence_privilege(s, 'SELECT, USAGE'::text)
        THEN coalesce(pg_catalog.pg_sequence_last_value(s), 0)
      END
    FROM {{template "sequence" .}}
  ),
  pg_catalog.clock_timestamp()
{{/* What is not visible, and how much of it is leased. */ -}}
FROM (
  SELECT pg_catalog.count(*) AS n, pg_catalog.count(*) FILTER (WHERE leased) AS leased
  FROM (
    SELECT {{template "is leased" .}} AS leased
    FROM {{.Q}} q
    WHERE vt > pg_catalog.statement_timestamp()
    ORDER BY vt
    LIMIT $1::int + 1
  ) t
) i
{{end}}

{{- /* The age of a message in microseconds; the order follows. */ -}}
{{define "age"}}(
    SELECT {{template "in micros" "pg_catalog.clock_timestamp() - enqueued_at"}}
    FROM {{.Q}}
    WHERE pg_catalog.isfinite(enqueued_at)
{{- end}}
{{define "is leased"}}read_ct > 0{{if .LastReadAt}} AND last_read_at IS NOT NULL{{end}}{{end}}

{{- /* The sequence of the queue's ids, as s. */ -}}
{{define "sequence"}}CAST(pg_catalog.pg_get_serial_sequence({{.QName}}, 'msg_id'::text) AS regclass) AS s
    WHERE s IS NOT NULL
{{- end}}

{{- /* The pages of a table and of its partitions. */ -}}
{{define "pages"}}
SELECT
  pg_catalog.sum(
    pg_catalog.pg_relation_size(c.oid::regclass) / pg_catalog.current_setting('block_size'::text)::bigint
  )::bigint
FROM pg_catalog.pg_class c
WHERE c.oid = {{.}}::regclass::oid
  OR c.oid IN (SELECT relid::oid FROM pg_catalog.pg_partition_tree({{.}}::regclass))
{{end}}

{{- /* What is in $1 per cent of the pages. */ -}}
{{define "sample"}}
SELECT
  pg_catalog.count(*),
  pg_catalog.count(*) FILTER (WHERE vt <= pg_catalog.statement_timestamp()),
  pg_catalog.count(*) FILTER (WHERE vt > pg_catalog.statement_timestamp() AND {{template "is leased" .}})
FROM {{.Q}} q TABLESAMPLE pg_catalog.system ($1::real)
{{end}}
{{define "sample archive"}}
SELECT pg_catalog.count(*), 0::bigint, 0::bigint FROM {{.A}} TABLESAMPLE pg_catalog.system ($1::real)
{{end}}
