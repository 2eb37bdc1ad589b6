{{- /* Groups of which several messages may be leased at a time.

A lease that ended less than 100 ms ago still counts, as recent, because an extension of
it may be about to commit. It does not count against leasing that same message again. */ -}}

{{- /* Whether x is recent, and the rows of the group w.k that are leased or recent, as
l: held and recent. Counting stops at the limit. */ -}}
{{define "recent x"}}
  {{- ""}}{{template "leased x" .}}
        AND x.vt > pg_catalog.statement_timestamp() - interval '100 milliseconds'
{{- end}}
{{define "count held"}}
  {{- ""}}pg_catalog.count(*) FILTER (WHERE vt > pg_catalog.statement_timestamp())::int AS held,
      least(
        pg_catalog.count(*) FILTER (WHERE vt <= pg_catalog.statement_timestamp())::int,
        {{template "group limit" .}}
      ) AS recent
{{- end}}
{{define "held of w"}}
  {{- ""}}CROSS JOIN LATERAL (
    SELECT
      {{template "count held" .}}
    FROM (
      SELECT x.vt
      FROM {{.Q}} x
      WHERE {{.Key}} = w.k
        AND x.vt AT TIME ZONE 'UTC'
          > (pg_catalog.statement_timestamp() - interval '100 milliseconds') AT TIME ZONE 'UTC'
        AND {{template "leased x" .}}
      ORDER BY {{.Key}} DESC, x.vt AT TIME ZONE 'UTC' DESC
      LIMIT 2 * {{template "group limit" .}}
    ) x
  ) l
{{- end}}

{{- /* The limit of a statement that chooses groups, and of one that claims. */ -}}
{{define "group limit"}}{{if .Claims}}$3{{else if .Indexed}}$5{{else}}$2{{end}}::int{{end}}

{{- /* Goes on with the group w.k if it has room for its message that is due longest,
f. */ -}}
{{define "room"}}
  {{- ""}}CROSS JOIN LATERAL (
    SELECT x.vt, ({{template "recent x" .}})::int AS recent
    FROM {{.Q}} x
    WHERE {{.Key}} = w.k AND x.vt AT TIME ZONE 'UTC' <= pg_catalog.statement_timestamp() AT TIME ZONE 'UTC'
    ORDER BY {{.Key}}, x.vt AT TIME ZONE 'UTC'
    LIMIT 1
  ) f
  {{template "held of w" .}}
  WHERE l.held + l.recent - f.recent < {{template "group limit" .}}
{{- end}}
{{define "held by group"}}{{if .Limited}}, l.held{{end}}{{end}}

{{- /* The longest-due messages of the groups w. turn is the position in the group, and
taken is the number of leases once all messages up to that position are leased. */ -}}
{{define "turns"}}
{{- if not .Indexed -}}
members AS MATERIALIZED (
  SELECT {{.Key}} AS k, msg_id, vt, coalesce({{template "recent x" .}}, false) AS counts
  FROM {{.Q}} x
  WHERE {{.Key}} IN (SELECT k FROM w)
),
leases AS MATERIALIZED (
  SELECT
      k,
      {{template "count held" .}}
  FROM members
  WHERE counts
  GROUP BY k
),
turns AS MATERIALIZED (
  SELECT
    msg_id,
    vt,
    coalesce(held, 0) AS held,
    pg_catalog.row_number() OVER o::int AS turn,
    coalesce(held + recent, 0) + pg_catalog.row_number() OVER o::int
      - pg_catalog.count(*) FILTER (WHERE counts) OVER o::int AS taken
  FROM members
  LEFT JOIN leases USING (k)
  WHERE vt <= pg_catalog.statement_timestamp()
  WINDOW o AS (PARTITION BY k ORDER BY vt, msg_id)
)
{{- else -}}
turns AS MATERIALIZED (
  SELECT f.msg_id, f.vt, l.held, f.turn, l.held + l.recent + f.turn - f.recent AS taken
  FROM w
  {{template "held of w" .}}
  CROSS JOIN LATERAL (
    SELECT
      msg_id,
      vt,
      pg_catalog.row_number() OVER o::int AS turn,
      pg_catalog.count(*) FILTER (WHERE counts) OVER o::int AS recent
    FROM (
      SELECT x.msg_id, x.vt, ({{template "recent x" .}}) AS counts
      FROM {{.Q}} x
      WHERE {{.Key}} = w.k AND x.vt AT TIME ZONE 'UTC' <= pg_catalog.statement_timestamp() AT TIME ZONE 'UTC'
      ORDER BY {{.Key}}, x.vt AT TIME ZONE 'UTC'
      LIMIT least($1::int, {{template "group limit" .}})
      FOR UPDATE SKIP LOCKED
    ) x
    WINDOW o AS (ORDER BY vt, msg_id)
  ) f
)
{{- end}}
{{- end}}
