{{- /* A group is free if its oldest message is visible and none of it is leased.
This looks up the oldest message of the group w.k, as f, and goes on with "is
free". A limited group needs "room" instead. */ -}}
{{define "free"}}
  {{- if .Limited}}{{template "room" .}}{{else -}}
  CROSS JOIN LATERAL (
    SELECT h.msg_id, h.vt FROM {{.Q}} h WHERE {{.Key}} = w.k ORDER BY {{.Key}}, h.msg_id LIMIT 1
  ) f
  {{template "is free" .}}{{end}}
{{- end}}

{{- /* What was leased a moment ago and is not the oldest still counts, since an
extension of it may be about to commit. */ -}}
{{define "is free"}}WHERE f.vt <= pg_catalog.statement_timestamp()
    AND NOT EXISTS (
      SELECT FROM {{.Q}} x
      WHERE {{.Key}} = w.k
        AND x.vt AT TIME ZONE 'UTC'
          > (pg_catalog.statement_timestamp() - interval '100 milliseconds') AT TIME ZONE 'UTC'
        AND {{template "leased x" .}}
        AND (x.vt > pg_catalog.statement_timestamp() OR x.msg_id <> f.msg_id)
      {{template "by lease" .}}
    )
{{- end}}

{{- /* Keeps a subquery to the index of leases. That has vt as UTC, so that no plan
takes the index on vt, which would read every lease of the queue for each group.
OFFSET 0 keeps the subquery from becoming a join. */ -}}
{{define "by lease"}}ORDER BY {{.Key}}, x.vt AT TIME ZONE 'UTC' OFFSET 0{{end}}

{{- /* Whether x is leased, or was. Statistics from before the first lease would
say that no row is leased, and make a plan that reads all of a group. There are
none for what coalesce returns. */ -}}
{{define "leased x"}}
  {{- ""}}x.read_ct > 0
  {{- if .LastReadAt}}
        AND coalesce(x.last_read_at, '-infinity'::timestamptz) > '-infinity'::timestamptz{{end}}
{{- end}}

{{- /* Without an index: the groups that are not free. */ -}}
{{define "leased groups"}}(
    SELECT {{.Key}}
    FROM {{.Q}} x
    WHERE {{.Key}} IS NOT NULL
      AND {{template "leased x" .}}
      AND x.vt > pg_catalog.statement_timestamp() - interval '100 milliseconds'
      AND (x.vt > pg_catalog.statement_timestamp() OR x.msg_id NOT IN (SELECT msg_id FROM heads))
  )
{{- end}}

{{- /* Whoever leases messages of the group k holds this lock to the end of its
transaction. */ -}}
{{define "lock of k"}}{{.QName}}::regclass::oid::int, pg_catalog.hashtext(k){{end}}

{{- /* Keeps the locked groups, t, on the server, in a setting of this transaction. */ -}}
{{define "keep t"}}pg_catalog.length(pg_catalog.set_config(
    'mq.groups'::text,
    coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(k, v))::text FROM t), '[]'::text),
    true
  ))
{{- end}}

{{- /* Chooses up to $1 free groups and locks them. It returns where the walk over
the groups is to begin next time ($4). */ -}}
{{define "choose groups"}}
WITH RECURSIVE
{{/* The candidates are the groups of the $2 messages that are due longest, */ -}}
due AS MATERIALIZED (
  SELECT {{.Key}} AS k, vt AS v
  FROM {{.Q}} q
  WHERE vt <= pg_catalog.statement_timestamp()
  ORDER BY vt
  LIMIT $2::int
),
near AS MATERIALIZED (
  SELECT k, pg_catalog.min(v) AS v FROM due WHERE k IS NOT NULL GROUP BY k ORDER BY 2
),
{{/* those of the $2 that became due last, which have the heads that were delayed,
leased or sent meanwhile, */ -}}
late AS MATERIALIZED (
  SELECT {{.Key}} AS k, vt AS v
  FROM {{.Q}} q
  WHERE vt <= pg_catalog.statement_timestamp()
  ORDER BY vt DESC
  LIMIT $2::int
),
last AS MATERIALIZED (
  SELECT k, pg_catalog.min(v) AS v
  FROM late
  WHERE k IS NOT NULL AND k NOT IN (SELECT k FROM near)
  GROUP BY k
),
{{/* and those that a walk over all groups finds in $3 steps from $4 on, each with
its oldest message. */ -}}
walk(k, msg_id, vt, n) AS (
  (
    SELECT {{.Key}}, msg_id, vt, 1
    FROM {{.Q}} p
    WHERE {{.Key}} >= $4::text
    ORDER BY {{.Key}}, msg_id
    LIMIT 1
  )
  UNION ALL
  SELECT p.k, p.msg_id, p.vt, u.n + 1
  FROM walk u
  CROSS JOIN LATERAL (
    SELECT {{.Key}} AS k, msg_id, vt
    FROM {{.Q}} p
    WHERE {{.Key}} > u.k
    ORDER BY {{.Key}}, msg_id
    LIMIT 1
  ) p
  WHERE u.n < $3::int
),
{{/* The free ones. They are materialised so that no group is locked before it was
seen to be free. */ -}}
c AS MATERIALIZED (
  SELECT w.k, w.v, false AS far{{template "held by group" .}}
  FROM near w
  {{template "free" .}}
  UNION ALL
  SELECT w.k, w.v, false{{template "held by group" .}}
  FROM last w
  {{template "free" .}}
  UNION ALL
  SELECT w.k, f.vt, true{{template "held by group" .}}
  FROM walk w
  {{if .Limited}}{{template "room" .}}{{else -}}
  CROSS JOIN LATERAL (SELECT w.msg_id, w.vt) f
  {{template "is free" .}}{{end}}
    AND w.k NOT IN (SELECT k FROM near)
    AND w.k NOT IN (SELECT k FROM last)
  {{- if .Limited}}
  ORDER BY held, v{{end}}
),
{{/* Those that nobody else is choosing. */ -}}
t AS MATERIALIZED (
  SELECT k, v, far
  FROM c
  WHERE pg_catalog.pg_try_advisory_xact_lock({{template "lock of k" .}})
  LIMIT $1::int
)
SELECT
  {{template "keep t"}},
  {{if .Blind}}''::text{{else if .Limited -}}
  coalesce((SELECT k FROM walk WHERE n = $3::int), ''::text)
  {{- else}}CASE
    WHEN (SELECT pg_catalog.count(*) FROM t) < $1::int
    THEN coalesce((SELECT k FROM walk WHERE n = $3::int), ''::text)
    ELSE coalesce((SELECT pg_catalog.max(k) FROM t WHERE far), $4::text)
  END{{end}}
{{end}}

{{- /* The same without an index, from the whole queue. */ -}}
{{define "choose groups without an index"}}
WITH {{if .Limited}}held AS MATERIALIZED (
  SELECT {{.Key}} AS k, pg_catalog.count(*)::int AS held
  FROM {{.Q}} x
  WHERE {{.Key}} IS NOT NULL AND {{template "recent x" .}}
  GROUP BY 1
),
c AS MATERIALIZED (
  SELECT k, pg_catalog.min(vt) AS v
  FROM (
    SELECT {{.Key}} AS k, vt FROM {{.Q}} WHERE {{.Key}} IS NOT NULL AND vt <= pg_catalog.statement_timestamp()
  ) q
  LEFT JOIN held USING (k)
  WHERE coalesce(held, 0) < $2::int
  GROUP BY k, held
  ORDER BY coalesce(held, 0), 2
),
{{else}}heads AS MATERIALIZED (
  SELECT DISTINCT ON ({{.Key}}) {{.Key}} AS k, msg_id, vt
  FROM {{.Q}}
  WHERE {{.Key}} IS NOT NULL
  ORDER BY {{.Key}}, msg_id
),
due AS MATERIALIZED (
  SELECT {{.Key}} AS k, pg_catalog.min(vt) AS v FROM {{.Q}} WHERE {{.Key}} IS NOT NULL GROUP BY 1
),
c AS MATERIALIZED (
  SELECT k, v
  FROM heads
  JOIN due USING (k)
  WHERE vt <= pg_catalog.statement_timestamp() AND k NOT IN {{template "leased groups" .}}
  ORDER BY v, msg_id
),
{{end}}t AS MATERIALIZED (
  SELECT k, v
  FROM c
  WHERE pg_catalog.pg_try_advisory_xact_lock({{template "lock of k" .}})
  LIMIT $1::int
)
SELECT {{template "keep t"}}, ''::text
{{end}}

{{- /* Leases the heads of the chosen groups, up to $1, for $2 microseconds. */ -}}
{{define "claim groups"}}
WITH w AS MATERIALIZED (
  SELECT (j ->> 0) COLLATE "C" AS k, pg_catalog.min((j ->> 1)::timestamptz) AS v
  FROM pg_catalog.jsonb_array_elements(pg_catalog.current_setting('mq.groups'::text)::jsonb) AS j
  GROUP BY 1
),
{{/* The same check again, under a snapshot taken after the locks. A row without a
key is a group of its own. */ -}}
{{if .Limited}}{{template "turns" .}},
f AS MATERIALIZED (
  SELECT msg_id, vt AS v, held + turn AS rank
  FROM turns
  WHERE taken <= $3::int
{{- else if .Indexed -}}
f AS MATERIALIZED (
  SELECT f.msg_id, w.v
  FROM w
  {{template "free" .}}
{{- else -}}
heads AS MATERIALIZED (
  SELECT DISTINCT ON ({{.Key}}) {{.Key}} AS k, msg_id, vt
  FROM {{.Q}}
  WHERE {{.Key}} IN (SELECT k FROM w)
  ORDER BY {{.Key}}, msg_id
),
f AS MATERIALIZED (
  SELECT msg_id, v
  FROM heads
  JOIN w USING (k)
  WHERE vt <= pg_catalog.statement_timestamp() AND k NOT IN {{template "leased groups" .}}
{{- end}}
  UNION ALL
  (
    SELECT msg_id, vt{{if .Limited}}, 1{{end}}
    FROM {{.Q}} q
    WHERE {{.Key}} IS NULL
      AND vt AT TIME ZONE 'UTC' <= pg_catalog.statement_timestamp() AT TIME ZONE 'UTC'
    ORDER BY {{.Key}}, vt AT TIME ZONE 'UTC'
    LIMIT $1::int
  )
),
{{/* A group's turn comes by what it was chosen for, its message that is due
longest. With a limit, groups with the fewest leases come first. */ -}}
p AS MATERIALIZED (SELECT msg_id FROM f ORDER BY {{if .Limited}}rank, {{end}}v, msg_id LIMIT $1::int),
c AS MATERIALIZED (
  SELECT {{template "sized" .}}
  FROM {{.Q}}
  WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p)) AND (vt <= pg_catalog.statement_timestamp()) IS TRUE
  ORDER BY msg_id
  FOR UPDATE SKIP LOCKED
),
{{template "fit" .}}
{{template "lease" .}}
RETURNING {{template "delivery" .}}, {{template "key" .}}
{{end}}

{{- /* Locks the group $1. */ -}}
{{define "lock group"}}
SELECT pg_catalog.pg_advisory_xact_lock({{template "lock of k" .}}) FROM (SELECT $1::text AS k) w
{{end}}

{{- /* Leases up to $1 messages of the group $3 for $2 microseconds, unless somebody
else has a lease of the group. $4-$6 are the receipts that the caller holds of it,
$7 says whether to take delayed messages. */ -}}
{{define "claim group"}}
WITH s AS MATERIALIZED (
  SELECT * FROM unnest($4::bigint[], $5::int[], $6::bigint[]) AS t(id, reads, sent)
),
{{/* The messages that the caller holds in truth. */ -}}
held AS MATERIALIZED (
  SELECT x.msg_id
  FROM {{.Q}} x
  JOIN s ON s.id = x.msg_id
  WHERE x.msg_id = ANY($4::bigint[])
    AND {{.Key}} = $3::text
    AND {{template "leased x" .}}
    AND x.vt AT TIME ZONE 'UTC' > pg_catalog.statement_timestamp() AT TIME ZONE 'UTC'
    AND (s.reads IS NULL OR x.read_ct = s.reads)
    AND (s.sent IS NULL OR x.enqueued_at = {{template "time" "s.sent"}})
),
{{/* The next ones of the group. */ -}}
r AS MATERIALIZED (
  SELECT x.msg_id, x.vt > pg_catalog.statement_timestamp() AND NOT $7::boolean AS delayed
  FROM {{.Q}} x
  WHERE {{.Key}} = $3::text AND x.msg_id <> ALL(ARRAY(SELECT msg_id FROM held))
  ORDER BY {{.Key}}, x.msg_id
  LIMIT $1::int
),
{{/* Those in front of the first delayed one, if nobody else has a lease. */ -}}
p AS MATERIALIZED (
  SELECT msg_id
  FROM r
  WHERE NOT delayed
    AND msg_id < coalesce((SELECT pg_catalog.min(msg_id) FROM r WHERE delayed), 9223372036854775807)
    AND NOT EXISTS (
      SELECT FROM {{.Q}} x
      WHERE {{.Key}} = $3::text
        AND x.vt AT TIME ZONE 'UTC' > pg_catalog.statement_timestamp() AT TIME ZONE 'UTC'
        AND {{template "leased x" .}}
        AND x.msg_id <> ALL(ARRAY(SELECT msg_id FROM held))
      {{template "by lease" .}}
    )
),
{{/* Those of them that are not locked, */ -}}
o AS MATERIALIZED (
  SELECT {{template "sized" .}}
  FROM {{.Q}}
  WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p))
    AND (vt <= pg_catalog.statement_timestamp() OR $7::boolean)
  ORDER BY msg_id
  FOR UPDATE SKIP LOCKED
),
{{/* up to the first one that is. */ -}}
c AS MATERIALIZED (
  SELECT *
  FROM o
  WHERE msg_id < coalesce(
    (SELECT pg_catalog.min(msg_id) FROM p WHERE msg_id NOT IN (SELECT msg_id FROM o)),
    9223372036854775807
  )
),
{{template "fit" .}}
{{template "lease" .}}
RETURNING {{template "delivery" .}}, {{template "key" .}}
{{end}}
