{{- /* Counts are exact up to $1. Where there is more, "sample" estimates: the
catalog's figures of a table may be from before it was filled. */ -}}
{{define "stats"}}
WITH {{template "hidden" .}},
{{/* What is due, if any of it can be blocked. */ -}}
candidates AS (
  SELECT msg_id, vt, {{template "key" .}} AS k
  FROM {{.Q}} q
  WHERE vt <= pg_catalog.statement_timestamp()
    AND vt > '-infinity'::timestamptz
    AND EXISTS (SELECT FROM hidden WHERE k IS NOT NULL)
  ORDER BY vt
  LIMIT $1::int + 1
),
{{template "ranked"}}
SELECT
  (
    SELECT pg_catalog.count(*)
    FROM (
      SELECT FROM {{.Q}} WHERE vt <= pg_catalog.statement_timestamp() ORDER BY vt LIMIT $1::int + 1
    ) v
  ),
  i.n,
  i.leased,
  i.grouped,
  i.blocked,
  {{template "in micros" "pg_catalog.statement_timestamp() - i.due_since"}},
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
FROM (
  SELECT
    (SELECT pg_catalog.count(*) FROM hidden) AS n,
    (SELECT pg_catalog.count(*) FROM hidden WHERE leased) AS leased,
    EXISTS (SELECT FROM hidden WHERE k IS NOT NULL) AS grouped,
    pg_catalog.count(*) FILTER (WHERE blocked) AS blocked,
    CASE
      WHEN EXISTS (SELECT FROM hidden WHERE k IS NOT NULL)
      THEN pg_catalog.min(vt) FILTER (WHERE NOT blocked)
      ELSE (
        SELECT vt
        FROM {{.Q}}
        WHERE vt <= pg_catalog.statement_timestamp() AND vt > '-infinity'::timestamptz
        ORDER BY vt
        LIMIT 1
      )
    END AS due_since
  FROM ranked
  WHERE due
) i
{{end}}

{{- /* What is leased or delayed, up to $1. */ -}}
{{define "hidden"}}
  {{- ""}}hidden AS MATERIALIZED (
  SELECT msg_id, {{template "is leased" .}} AS leased, {{template "key" .}} AS k
  FROM {{.Q}} q
  WHERE vt > pg_catalog.statement_timestamp()
  ORDER BY vt
  LIMIT $1::int + 1
)
{{- end}}

{{- /* Messages that are due are blocked by an earlier one of their group that is
hidden. A window finds them: a join could become a nested loop of 10,000 by 10,000
rows where the statistics are from an empty queue. */ -}}
{{define "ranked"}}
  {{- ""}}ranked AS (
  SELECT
    due,
    vt,
    (k IS NOT NULL AND msg_id > pg_catalog.min(msg_id) FILTER (WHERE NOT due) OVER (PARTITION BY k)) IS TRUE
      AS blocked
  FROM (
    SELECT false AS due, NULL::timestamptz AS vt, msg_id, k FROM hidden WHERE k IS NOT NULL
    UNION ALL
    SELECT true, vt, msg_id, k FROM candidates
  ) u
)
{{- end}}

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

{{- /* What is in $2 per cent of the pages. */ -}}
{{define "sample"}}
WITH {{template "hidden" .}},
sampled AS MATERIALIZED (
  SELECT
    msg_id,
    vt,
    vt <= pg_catalog.statement_timestamp() AS due,
    {{template "is leased" .}} AS leased,
    {{template "key" .}} AS k
  FROM {{.Q}} q TABLESAMPLE pg_catalog.system ($2::real)
),
candidates AS (SELECT msg_id, vt, k FROM sampled WHERE due),
{{template "ranked"}}
SELECT
  pg_catalog.count(*),
  pg_catalog.count(*) FILTER (WHERE due),
  pg_catalog.count(*) FILTER (WHERE NOT due AND leased),
  (SELECT pg_catalog.count(*) FROM ranked WHERE due AND blocked)
FROM sampled
{{end}}
{{define "sample archive"}}
SELECT pg_catalog.count(*), 0::bigint, 0::bigint, 0::bigint
FROM {{.A}} TABLESAMPLE pg_catalog.system ($1::real)
{{end}}
