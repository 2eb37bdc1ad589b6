{{- /*
All SQL of the driver. Values are bound; what stands in braces is a name or a
constant that ident or literal has quoted, or a column that the catalog shows.

Three habits recur. pg_catalog.statement_timestamp() is compared with vt, since a volatile
clock keeps the index on vt from being used. Rows are found by
"= ANY(ARRAY(SELECT ...))" and not by a join, since a generic plan of a join
hashes the whole table. And whatever waits for row locks takes them in the
order of msg_id, so that no two statements wait for each other.

Nothing is resolved through search_path, where others may have made functions
and operators: functions are named with their schema, tables too, and both
sides of an operator have the types that pg_catalog has it for. A literal
without a type would not do. unnest of several arrays is syntax, like coalesce.
*/ -}}

{{- /* The vt of a batch's rows count microseconds from now on: one sender's
messages are due in the order in which they were sent, after what it sent
before, and none too early. Inserting a row takes longer than that. */ -}}
{{define "insert"}}
INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
SELECT pg_catalog.statement_timestamp() + (coalesce(d, 0) + o - 1)::float8 * interval '1 microsecond', b::jsonb{{if .Headers}}, h::jsonb{{end}}
FROM unnest($1::bigint[], $2::text[]{{if .Headers}}, $3::text[]{{end}}) WITH ORDINALITY AS t(d, b{{if .Headers}}, h{{end}}, o) ORDER BY o
RETURNING msg_id
{{end}}

{{define "insert one"}}
INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
VALUES (pg_catalog.statement_timestamp() + $1::bigint::float8 * interval '1 microsecond', $2::text::jsonb{{if .Headers}}, $3::text::jsonb{{end}})
RETURNING msg_id
{{end}}

{{define "channel"}}{{if .Headers}}$4{{else}}$3{{end}}::text{{end}}

{{define "insert notifying"}}
WITH n AS MATERIALIZED (SELECT pg_catalog.pg_notify({{template "channel" .}}, ''::text)), i AS ({{template "insert" .}})
SELECT msg_id FROM i CROSS JOIN n ORDER BY msg_id
{{end}}

{{define "insert one notifying"}}
WITH n AS MATERIALIZED (SELECT pg_catalog.pg_notify({{template "channel" .}}, ''::text)), i AS ({{template "insert one" .}})
SELECT msg_id FROM i CROSS JOIN n
{{end}}

{{define "notify"}}SELECT pg_catalog.pg_notify($1::text, ''::text){{end}}

{{- /* What leases.scan reads. Other programs may write infinite times. A blind
statement reads nothing that they may have written and that cannot be printed. */ -}}
{{define "delivery"}}q.msg_id, q.read_ct, CASE WHEN pg_catalog.isfinite(q.enqueued_at) THEN q.enqueued_at END, CASE WHEN pg_catalog.isfinite(q.vt) THEN q.vt END, {{template "contents" .}}{{end}}
{{define "contents"}}{{if .Blind}}NULL::jsonb, NULL::jsonb{{else}}q.message, {{template "headers" .}}{{end}}{{end}}
{{define "key"}}{{if and .Key (not .Blind)}}{{.Key}}{{else}}NULL::text{{end}}{{end}}
{{define "headers"}}{{if .Headers}}q.headers{{else}}NULL::jsonb{{end}}{{end}}

{{- /* The size of a message in the table, which is known without reading it, and
its size when printed: a number of 10 bytes may have 100,000 digits, and the table
is compressed. */ -}}
{{define "size"}}coalesce(pg_catalog.pg_column_size(message), 0){{if .Headers}} + coalesce(pg_catalog.pg_column_size(headers), 0){{end}}{{end}}
{{define "printed size"}}coalesce(pg_catalog.octet_length(message::text), 0){{if .Headers}} + coalesce(pg_catalog.octet_length(headers::text), 0){{end}}{{end}}
{{define "sized"}}msg_id, {{template "size" .}} AS size{{if .Measured}}, message{{if .Headers}}, headers{{end}}{{end}}{{end}}

{{define "due"}}SELECT {{template "sized" .}} FROM {{.Q}} WHERE vt <= pg_catalog.statement_timestamp() ORDER BY {{.Order}} LIMIT $1 FOR UPDATE SKIP LOCKED{{end}}

{{- /* A claim takes 8 MiB of c, and at least one message: more may not get
through before the statement is cut off. A measured claim is bounded by 8 MiB of
printed size as well. To find that out it prints no more than 8 MiB of stored
messages, which costs a fifth more. */ -}}
{{define "fit"}}
fit AS MATERIALIZED (SELECT msg_id FROM {{if .Measured}}(SELECT msg_id, pg_catalog.sum({{template "printed size" .}}) OVER {{template "before"}} AS printed FROM {{end -}}
 (SELECT c.*, pg_catalog.sum(size) OVER {{template "before"}} AS stored FROM c) s WHERE coalesce(stored, 0) < 8388608{{if .Measured}}) t WHERE coalesce(printed, 0) < 8388608{{end}})
{{end}}
{{define "before"}}(ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING){{end}}

{{- /* The contents of messages, as many as fit. */ -}}
{{define "bodies"}}
WITH c AS MATERIALIZED (SELECT {{template "sized" .}} FROM {{.Q}} WHERE msg_id = ANY($1::bigint[]) ORDER BY msg_id),
{{template "fit" .}}
SELECT q.msg_id, q.message, {{template "headers" .}}, {{template "key" .}} FROM {{.Q}} q WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM fit))
{{end}}

{{define "lease"}}
UPDATE {{.Q}} q SET vt = pg_catalog.clock_timestamp() + $2::bigint::float8 * interval '1 microsecond', {{if .LastReadAt}}last_read_at = pg_catalog.clock_timestamp(), {{end}}read_ct = least(q.read_ct, 2147483646) + 1
WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM fit))
{{end}}

{{define "claim"}}
WITH c AS MATERIALIZED ({{template "due" .}}),
{{template "fit" .}}
{{template "lease" .}} RETURNING {{template "delivery" .}}
{{end}}

{{define "pop"}}
WITH c AS MATERIALIZED ({{template "due" .}}),
{{template "fit" .}}
DELETE FROM {{.Q}} q WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM fit)) RETURNING {{template "delivery" .}}
{{end}}

{{- /* Is there something, and after how many microseconds will there be? */ -}}
{{define "probe"}}
SELECT EXISTS (SELECT FROM {{.Q}} WHERE vt <= pg_catalog.statement_timestamp()),
(SELECT (extract(epoch FROM vt - pg_catalog.statement_timestamp())::float8 * 1000000::float8)::bigint FROM {{.Q}}
 WHERE vt > pg_catalog.statement_timestamp() AND vt < 'infinity' ORDER BY vt LIMIT 1)
{{end}}

{{- /* The fence is compared with the row as it was locked, not as the statement
saw it at first: an extension that commits meanwhile changes nothing, a new
lease does. What failed is returned, by its place, and whether the message is
gone: NULL if another transaction has locked it. Only in a caller's transaction,
whose other statements depend on it, does it wait for that. NOT EXISTS could
become a hash of the whole queue. */ -}}
{{define "fence"}}
l AS MATERIALIZED (SELECT msg_id, read_ct, enqueued_at, vt FROM {{.Q}} WHERE msg_id = ANY($1::bigint[]) ORDER BY msg_id FOR UPDATE{{if not .Waits}} SKIP LOCKED{{end}}),
m AS MATERIALIZED (SELECT s.*, {{if .Waits}}l.msg_id IS NULL{{else}}CASE WHEN l.msg_id IS NOT NULL THEN false WHEN (SELECT x.msg_id FROM {{.Q}} x WHERE x.msg_id = s.id LIMIT 1) IS NULL THEN true END{{end}} AS gone,
 l.msg_id IS NOT NULL AND (s.reads IS NULL OR l.read_ct = s.reads) AND (s.sent IS NULL OR l.enqueued_at = {{template "time of s"}}) AS ok,
 s.reads IS NULL OR l.vt > pg_catalog.clock_timestamp() AS alive
 FROM s LEFT JOIN l ON l.msg_id = s.id)
{{end}}
{{define "time of s"}}timestamptz 'epoch' + s.sent::float8 * interval '1 microsecond'{{end}}

{{define "ack one"}}
DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM {{.Q}} WHERE msg_id = $1::bigint AND read_ct = $2::int
 AND enqueued_at = timestamptz 'epoch' + $3::bigint::float8 * interval '1 microsecond' FOR UPDATE SKIP LOCKED)) RETURNING msg_id
{{end}}

{{define "ack"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[]) WITH ORDINALITY AS t(id, reads, sent, i)),
{{template "fence" .}},
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok)))
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{- /* The numbers are those of driver.Op. A nack forgets last_read_at, so that
what waits for its delay can be told from what is leased. Without .Kept nothing
is archived. */ -}}
{{define "settle"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::int[], $5::bigint[], $6::text[]) WITH ORDINALITY AS t(id, reads, sent, op, delay, reason, i)),
{{template "fence" .}},
j AS MATERIALIZED (SELECT pg_catalog.jsonb_object_agg(id, delay) AS delays FROM m WHERE ok AND op = 2),
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 1))),
n AS (UPDATE {{.Q}} SET vt = pg_catalog.clock_timestamp() + ((SELECT delays FROM j) ->> msg_id::text)::float8 * interval '1 microsecond'{{if .LastReadAt}}, last_read_at = NULL{{end}}
 WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 2))){{if .Kept}},
x AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 3)) RETURNING *),{{if .UniqueArchive}}
taken AS MATERIALIZED (SELECT msg_id FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 3))),{{end}}
a AS (INSERT INTO {{.A}} ({{range $i, $c := .Kept}}{{if $i}}, {{end}}{{$c}}{{end}})
 SELECT {{range $i, $c := .Kept}}{{if $i}}, {{end}}{{if eq $c "headers"}}{{template "reasoned" $}}{{else if eq $c "msg_id"}}{{template "archived id" $}}{{else}}x.{{$c}}{{end}}{{end}} FROM x JOIN m ON m.id = x.msg_id AND m.ok){{end}}
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{- /* Ids come again: after a TRUNCATE with RESTART IDENTITY, a crash that
emptied an unlogged queue, a sequence that was set back. The archive keeps both
messages, the later one under an id above all that a queue hands out (2^52), and
below what JSON has room for. It is drawn, so that nobody waits for another
transaction's. */ -}}
{{define "archived id"}}{{if .UniqueArchive}}CASE WHEN x.msg_id IN (SELECT msg_id FROM taken) THEN {{template "drawn ids"}} + (pg_catalog.random() * 4503599627370495::float8)::bigint ELSE x.msg_id END{{else}}x.msg_id{{end}}{{end}}
{{define "drawn ids"}}4503599627370496::bigint{{end}}

{{- /* Headers that are no object, as only other programs write them, have no room
for ours. They are archived inside of an object, beside the reason, and else stay
as they are. */ -}}
{{define "has room"}}coalesce(pg_catalog.jsonb_typeof(x.headers), 'object'::text) = 'object'::text{{end}}
{{define "object"}}coalesce(x.headers, '{}'::jsonb){{end}}
{{define "reasoned"}}CASE WHEN m.reason IS NULL THEN x.headers WHEN {{template "has room"}} THEN {{template "object"}} || pg_catalog.jsonb_build_object('mq-reason'::text, m.reason)
 ELSE pg_catalog.jsonb_build_object('mq-headers'::text, x.headers, 'mq-reason'::text, m.reason) END{{end}}
{{define "enclosed"}}coalesce(pg_catalog.jsonb_typeof(x.headers -> 'mq-headers'::text), 'object'::text) <> 'object'::text{{end}}
{{define "in order"}}pg_catalog.statement_timestamp() + (pg_catalog.row_number() OVER (ORDER BY x.msg_id) - 1)::float8 * interval '1 microsecond'{{end}}

{{define "move"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[]) WITH ORDINALITY AS t(id, reads, sent, reason, i)),
{{template "fence" .}},
x AS (DELETE FROM {{.Q}} q WHERE q.msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok)) RETURNING q.msg_id, q.message, {{template "headers" .}} AS headers),
i AS (INSERT INTO {{.To}} (vt, message, headers)
 SELECT {{template "in order"}}, x.message,
 CASE WHEN {{template "has room"}} THEN {{template "object"}} - 'mq-reason'::text || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('mq-origin'::text, $5::text || x.msg_id::text, 'mq-reason'::text, m.reason)) ELSE x.headers END
 FROM x JOIN m ON m.id = x.msg_id AND m.ok ORDER BY x.msg_id)
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{define "extend"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[]) WITH ORDINALITY AS t(id, reads, sent, i)),
{{template "fence" .}},
n AS (UPDATE {{.Q}} SET vt = pg_catalog.clock_timestamp() + $4::bigint::float8 * interval '1 microsecond' WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND alive)))
SELECT i, gone FROM m WHERE NOT (ok AND alive)
{{end}}

{{- /* Makes a transaction unable to commit. */ -}}
{{define "abort"}}SELECT 1 / (SELECT 0){{end}}

{{define "browse"}}
SELECT {{template "record" .}}, NULL::timestamptz FROM {{.Q}} q WHERE q.msg_id > $1::bigint ORDER BY q.msg_id LIMIT $2::int
{{end}}
{{define "browse archive"}}
SELECT {{template "record" .}}, CASE WHEN pg_catalog.isfinite(q.archived_at) THEN q.archived_at END FROM {{.A}} q WHERE q.msg_id > $1::bigint ORDER BY q.msg_id LIMIT $2::int
{{end}}
{{define "record"}}q.msg_id, q.read_ct, CASE WHEN pg_catalog.isfinite(q.enqueued_at) THEN q.enqueued_at END, CASE WHEN pg_catalog.isfinite(q.vt) THEN q.vt END, {{template "contents" .}}{{end}}

{{- /* Purges go from one id to the next, up to the highest that there was at
their begin ($2, NULL at first), $3 rows a statement: each is a short transaction,
and they end however much comes meanwhile. They return how many rows there were,
the last of them, and the highest. */ -}}
{{define "purge"}}
WITH h AS MATERIALIZED (SELECT coalesce($2::bigint, (SELECT pg_catalog.max(msg_id) FROM {{.Q}})) AS highest),
l AS MATERIALIZED (SELECT msg_id FROM {{.Q}} WHERE msg_id > $1::bigint AND msg_id <= (SELECT highest FROM h) ORDER BY msg_id LIMIT $3::bigint FOR UPDATE),
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)))
SELECT pg_catalog.count(*), pg_catalog.max(msg_id), (SELECT highest FROM h) FROM l
{{end}}

{{define "purge archive"}}
WITH h AS MATERIALIZED (SELECT coalesce($2::bigint, (SELECT pg_catalog.max(msg_id) FROM {{.A}})) AS highest),
l AS MATERIALIZED (SELECT msg_id FROM {{.A}} WHERE msg_id > $1::bigint AND msg_id <= (SELECT highest FROM h) ORDER BY msg_id LIMIT $3::bigint FOR UPDATE),
d AS (DELETE FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)))
SELECT pg_catalog.count(*), pg_catalog.max(msg_id), (SELECT highest FROM h) FROM l
{{end}}

{{- /* The same by age: what was archived at $1, in microseconds since 1970, or
before. */ -}}
{{define "purge older"}}
WITH p AS MATERIALIZED (SELECT msg_id FROM {{.A}} WHERE archived_at <= {{template "time of $1"}} ORDER BY archived_at LIMIT $2::bigint),
l AS MATERIALIZED (SELECT msg_id FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p)) ORDER BY msg_id FOR UPDATE),
d AS (DELETE FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)) AND archived_at <= {{template "time of $1"}} RETURNING 1)
SELECT (SELECT pg_catalog.count(*) FROM p), (SELECT pg_catalog.count(*) FROM d)
{{end}}
{{define "time of $1"}}timestamptz 'epoch' + $1::bigint::float8 * interval '1 microsecond'{{end}}
{{define "clock"}}SELECT (extract(epoch FROM pg_catalog.clock_timestamp())::float8 * 1000000::float8)::bigint{{end}}

{{- /* $1 is NULL for the lowest ids that were archived at $3, in microseconds
since 1970, or before: what dies again meanwhile is not brought back again. */ -}}
{{define "redrive"}}
WITH l AS MATERIALIZED (SELECT msg_id FROM {{.A}} WHERE ($1::bigint[] IS NULL OR msg_id = ANY($1::bigint[]))
 AND ($3::bigint IS NULL OR archived_at <= timestamptz 'epoch' + $3::bigint::float8 * interval '1 microsecond') ORDER BY msg_id LIMIT $2::bigint FOR UPDATE),
x AS (DELETE FROM {{.A}} q WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM l)) RETURNING q.msg_id, q.message{{if .Headers}}, q.headers{{end}}),
i AS (INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
 SELECT {{template "in order"}}, x.message{{if .Headers}},
 CASE WHEN {{template "enclosed"}} THEN x.headers -> 'mq-headers'::text WHEN {{template "has room"}} THEN {{template "object"}} - 'mq-reason'::text || pg_catalog.jsonb_build_object('mq-origin'::text, $4::text || x.msg_id::text) ELSE x.headers END{{end}}
 FROM x ORDER BY x.msg_id RETURNING 1)
SELECT pg_catalog.count(*) FROM i
{{end}}

{{- /* Counts are exact up to $1. Where there is more, "sample" estimates: what
the catalog knows of a table may be from before it was filled. */ -}}
{{define "stats"}}
SELECT (SELECT pg_catalog.count(*) FROM (SELECT FROM {{.Q}} WHERE vt <= pg_catalog.statement_timestamp() ORDER BY vt LIMIT $1::int + 1) v),
i.n, i.leased,
{{if .Kept}}(SELECT pg_catalog.count(*) FROM (SELECT FROM {{.A}} LIMIT $1::int + 1) a){{else}}0::bigint{{end}},
{{template "age" .}} ORDER BY msg_id LIMIT 1),
{{template "age" .}} ORDER BY msg_id DESC LIMIT 1),
(SELECT CASE WHEN pg_catalog.has_sequence_privilege(s, 'SELECT, USAGE'::text) THEN coalesce(pg_catalog.pg_sequence_last_value(s), 0) END
 FROM CAST(pg_catalog.pg_get_serial_sequence({{.QName}}, 'msg_id'::text) AS regclass) AS s WHERE s IS NOT NULL),
pg_catalog.clock_timestamp()
FROM (SELECT pg_catalog.count(*) AS n, pg_catalog.count(*) FILTER (WHERE leased) AS leased
 FROM (SELECT {{template "is leased" .}} AS leased FROM {{.Q}} q WHERE vt > pg_catalog.statement_timestamp() ORDER BY vt LIMIT $1::int + 1) t) i
{{end}}
{{define "age"}}(SELECT (extract(epoch FROM pg_catalog.clock_timestamp() - enqueued_at)::float8 * 1000000::float8)::bigint FROM {{.Q}} WHERE pg_catalog.isfinite(enqueued_at){{end}}
{{define "is leased"}}read_ct > 0{{if .LastReadAt}} AND last_read_at IS NOT NULL{{end}}{{end}}

{{- /* The pages of a table and of its partitions, and what is in some of them:
$1 per cent. */ -}}
{{define "pages"}}
SELECT pg_catalog.sum(pg_catalog.pg_relation_size(c.oid::regclass) / pg_catalog.current_setting('block_size'::text)::bigint)::bigint FROM pg_catalog.pg_class c
WHERE c.oid = {{.}}::regclass::oid OR c.oid IN (SELECT relid::oid FROM pg_catalog.pg_partition_tree({{.}}::regclass))
{{end}}
{{define "sample"}}
SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE vt <= pg_catalog.statement_timestamp()), pg_catalog.count(*) FILTER (WHERE vt > pg_catalog.statement_timestamp() AND {{template "is leased" .}})
FROM {{.Q}} q TABLESAMPLE pg_catalog.system ($1::real)
{{end}}
{{define "sample archive"}}SELECT pg_catalog.count(*), 0::bigint, 0::bigint FROM {{.A}} TABLESAMPLE pg_catalog.system ($1::real){{end}}

{{- /* A group is free if its oldest message is visible and none of it is
leased. What was leased a moment ago and is not the oldest still counts, since
an extension of it may be about to commit. */ -}}
{{define "free"}}
CROSS JOIN LATERAL (SELECT h.msg_id, h.vt FROM {{.Q}} h WHERE {{.Key}} = w.k ORDER BY {{.Key}}, h.msg_id LIMIT 1) f
{{template "is free" .}}
{{end}}

{{- /* The index of leases has vt as UTC, so that no plan takes the index on vt,
which would read every lease of the queue for each group. OFFSET 0 keeps it from
being a join. */ -}}
{{define "is free"}}WHERE f.vt <= pg_catalog.statement_timestamp() AND NOT EXISTS (SELECT FROM {{.Q}} x WHERE {{.Key}} = w.k
 AND x.vt AT TIME ZONE 'UTC' > (pg_catalog.statement_timestamp() - interval '100 milliseconds') AT TIME ZONE 'UTC' AND {{template "leased x" .}}
 AND (x.vt > pg_catalog.statement_timestamp() OR x.msg_id <> f.msg_id) ORDER BY {{.Key}}, x.vt AT TIME ZONE 'UTC' OFFSET 0){{end}}
{{- /* Statistics from before the first lease would have it that no row is leased,
and a plan that reads all of a group. What coalesce returns has none. */ -}}
{{define "leased x"}}x.read_ct > 0{{if .LastReadAt}} AND coalesce(x.last_read_at, '-infinity'::timestamptz) > '-infinity'::timestamptz{{end}}{{end}}
{{define "lock of k"}}{{.QName}}::regclass::oid::int, pg_catalog.hashtext(k){{end}}

{{- /* Chooses groups and locks them. Candidates are the groups of what is due
longest ($2 rows); then of what became due last ($2 rows), where the head of a
group is that was delayed, leased or sent; and then those that a walk over all
groups finds ($3 steps from $4 on), each with its oldest message. c is
materialised so that no group is locked before it was seen to be free. The
locked groups stay on the server, in a setting of this transaction; what is
returned is where the next walk begins. */ -}}
{{define "choose groups"}}
WITH RECURSIVE due AS MATERIALIZED (SELECT {{.Key}} AS k, vt AS v FROM {{.Q}} q WHERE vt <= pg_catalog.statement_timestamp() ORDER BY vt LIMIT $2::int),
near AS MATERIALIZED (SELECT k, pg_catalog.min(v) AS v FROM due WHERE k IS NOT NULL GROUP BY k ORDER BY 2),
late AS MATERIALIZED (SELECT {{.Key}} AS k, vt AS v FROM {{.Q}} q WHERE vt <= pg_catalog.statement_timestamp() ORDER BY vt DESC LIMIT $2::int),
last AS MATERIALIZED (SELECT k, pg_catalog.min(v) AS v FROM late WHERE k IS NOT NULL AND k NOT IN (SELECT k FROM near) GROUP BY k),
walk(k, msg_id, vt, n) AS ((SELECT {{.Key}}, msg_id, vt, 1 FROM {{.Q}} p WHERE {{.Key}} >= $4::text ORDER BY {{.Key}}, msg_id LIMIT 1) UNION ALL
 SELECT p.k, p.msg_id, p.vt, u.n + 1 FROM walk u CROSS JOIN LATERAL
 (SELECT {{.Key}} AS k, msg_id, vt FROM {{.Q}} p WHERE {{.Key}} > u.k ORDER BY {{.Key}}, msg_id LIMIT 1) p WHERE u.n < $3::int),
c AS MATERIALIZED (SELECT w.k, w.v, false AS far FROM near w {{template "free" .}}
 UNION ALL SELECT w.k, w.v, false FROM last w {{template "free" .}}
 UNION ALL SELECT w.k, f.vt, true FROM walk w CROSS JOIN LATERAL (SELECT w.msg_id, w.vt) f {{template "is free" .}}
 AND w.k NOT IN (SELECT k FROM near) AND w.k NOT IN (SELECT k FROM last)),
t AS MATERIALIZED (SELECT k, v, far FROM c WHERE pg_catalog.pg_try_advisory_xact_lock({{template "lock of k" .}}) LIMIT $1::int)
SELECT pg_catalog.length(pg_catalog.set_config('mq.groups'::text, coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(k, v))::text FROM t), '[]'::text), true)),
{{if .Blind}}''::text{{else}}CASE WHEN (SELECT pg_catalog.count(*) FROM t) < $1::int THEN coalesce((SELECT k FROM walk WHERE n = $3::int), ''::text)
 ELSE coalesce((SELECT pg_catalog.max(k) FROM t WHERE far), $4::text) END{{end}}
{{end}}

{{define "choose groups without an index"}}
WITH heads AS MATERIALIZED (SELECT DISTINCT ON ({{.Key}}) {{.Key}} AS k, msg_id, vt FROM {{.Q}} WHERE {{.Key}} IS NOT NULL ORDER BY {{.Key}}, msg_id),
due AS MATERIALIZED (SELECT {{.Key}} AS k, pg_catalog.min(vt) AS v FROM {{.Q}} WHERE {{.Key}} IS NOT NULL GROUP BY 1),
c AS MATERIALIZED (SELECT k, v FROM heads JOIN due USING (k) WHERE vt <= pg_catalog.statement_timestamp() AND k NOT IN {{template "leased groups" .}} ORDER BY v, msg_id),
t AS MATERIALIZED (SELECT k, v FROM c WHERE pg_catalog.pg_try_advisory_xact_lock({{template "lock of k" .}}) LIMIT $1::int)
SELECT pg_catalog.length(pg_catalog.set_config('mq.groups'::text, coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(k, v))::text FROM t), '[]'::text), true)), ''::text
{{end}}
{{define "leased groups"}}(SELECT {{.Key}} FROM {{.Q}} x WHERE {{.Key}} IS NOT NULL AND {{template "leased x" .}} AND x.vt > pg_catalog.statement_timestamp() - interval '100 milliseconds'
 AND (x.vt > pg_catalog.statement_timestamp() OR x.msg_id NOT IN (SELECT msg_id FROM heads))){{end}}

{{- /* The same check again, under a snapshot taken after the locks, and the
claim. A row without a key is a group of its own. A group's turn comes by what
it was chosen for, its message that is due longest. */ -}}
{{define "claim groups"}}
WITH w AS MATERIALIZED (SELECT (j ->> 0) COLLATE "C" AS k, pg_catalog.min((j ->> 1)::timestamptz) AS v FROM pg_catalog.jsonb_array_elements(pg_catalog.current_setting('mq.groups'::text)::jsonb) AS j GROUP BY 1),
{{if .Indexed -}}
f AS MATERIALIZED (SELECT f.msg_id, w.v FROM w {{template "free" .}}
{{- else -}}
heads AS MATERIALIZED (SELECT DISTINCT ON ({{.Key}}) {{.Key}} AS k, msg_id, vt FROM {{.Q}} WHERE {{.Key}} IN (SELECT k FROM w) ORDER BY {{.Key}}, msg_id),
f AS MATERIALIZED (SELECT msg_id, v FROM heads JOIN w USING (k) WHERE vt <= pg_catalog.statement_timestamp() AND k NOT IN {{template "leased groups" .}}
{{- end}} UNION ALL (SELECT msg_id, vt FROM {{.Q}} q WHERE {{.Key}} IS NULL
 AND vt AT TIME ZONE 'UTC' <= pg_catalog.statement_timestamp() AT TIME ZONE 'UTC' ORDER BY {{.Key}}, vt AT TIME ZONE 'UTC' LIMIT $1::int)),
p AS MATERIALIZED (SELECT msg_id FROM f ORDER BY v, msg_id LIMIT $1::int),
c AS MATERIALIZED (SELECT {{template "sized" .}} FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p)) AND (vt <= pg_catalog.statement_timestamp()) IS TRUE ORDER BY msg_id FOR UPDATE SKIP LOCKED),
{{template "fit" .}}
{{template "lease" .}} RETURNING {{template "delivery" .}}, {{template "key" .}}
{{end}}

{{define "lock group"}}SELECT pg_catalog.pg_advisory_xact_lock({{template "lock of k" .}}) FROM (SELECT $1::text AS k) w{{end}}

{{- /* $1 max, $2 visibility, $3 the group, $4-$6 what the caller holds of it,
$7 whether to take delayed messages. It takes nothing while somebody else has a
lease of the group, and ends in front of what is delayed or locked. */ -}}
{{define "claim group"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($4::bigint[], $5::int[], $6::bigint[]) AS t(id, reads, sent)),
held AS MATERIALIZED (SELECT x.msg_id FROM {{.Q}} x JOIN s ON s.id = x.msg_id WHERE x.msg_id = ANY($4::bigint[]) AND {{.Key}} = $3::text AND {{template "leased x" .}}
 AND x.vt AT TIME ZONE 'UTC' > pg_catalog.statement_timestamp() AT TIME ZONE 'UTC' AND (s.reads IS NULL OR x.read_ct = s.reads) AND (s.sent IS NULL OR x.enqueued_at = {{template "time of s"}})),
r AS MATERIALIZED (SELECT x.msg_id, x.vt > pg_catalog.statement_timestamp() AND NOT $7::boolean AS delayed FROM {{.Q}} x
 WHERE {{.Key}} = $3::text AND x.msg_id <> ALL(ARRAY(SELECT msg_id FROM held)) ORDER BY {{.Key}}, x.msg_id LIMIT $1::int),
p AS MATERIALIZED (SELECT msg_id FROM r WHERE NOT delayed AND msg_id < coalesce((SELECT pg_catalog.min(msg_id) FROM r WHERE delayed), 9223372036854775807)
 AND NOT EXISTS (SELECT FROM {{.Q}} x WHERE {{.Key}} = $3::text AND x.vt AT TIME ZONE 'UTC' > pg_catalog.statement_timestamp() AT TIME ZONE 'UTC'
 AND {{template "leased x" .}} AND x.msg_id <> ALL(ARRAY(SELECT msg_id FROM held)) ORDER BY {{.Key}}, x.vt AT TIME ZONE 'UTC' OFFSET 0)),
o AS MATERIALIZED (SELECT {{template "sized" .}} FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p)) AND (vt <= pg_catalog.statement_timestamp() OR $7::boolean) ORDER BY msg_id FOR UPDATE SKIP LOCKED),
c AS MATERIALIZED (SELECT * FROM o WHERE msg_id < coalesce((SELECT pg_catalog.min(msg_id) FROM p WHERE msg_id NOT IN (SELECT msg_id FROM o)), 9223372036854775807)),
{{template "fit" .}}
{{template "lease" .}} RETURNING {{template "delivery" .}}, {{template "key" .}}
{{end}}

{{- /* The catalog, and not meta, which may lack queues or have one twice. */ -}}
{{define "list"}}
SELECT pg_catalog.substr(c.relname::text, 3) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq'::name AND c.relname::text LIKE 'q\_%'::text AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND 5 = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND NOT t.attisdropped
 AND t.attname::text IN ('msg_id', 'read_ct', 'enqueued_at', 'vt', 'message'))
ORDER BY 1
{{end}}

{{- /* Partitions are no queues: their rows are those of another one. */ -}}
{{define "shape"}}
SELECT (SELECT pg_catalog.string_agg(attname::text, ','::text) FROM pg_catalog.pg_attribute WHERE attrelid = q.oid AND attnum > 0 AND NOT attisdropped),
(SELECT pg_catalog.string_agg(attname::text, ','::text) FROM pg_catalog.pg_attribute WHERE attrelid = a.oid AND attnum > 0 AND NOT attisdropped),
(SELECT pg_catalog.string_agg(i.relname::text, ','::text) FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = q.oid AND x.indisvalid),
EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = q.oid AND tgname = {{template "trigger name"}}::name AND tgenabled IN ('O', 'A')),
EXISTS (SELECT FROM pg_catalog.pg_index x JOIN pg_catalog.pg_attribute t ON t.attrelid = x.indrelid AND t.attnum = x.indkey[0]
 WHERE x.indrelid = a.oid AND x.indisunique AND x.indnkeyatts = 1 AND t.attname = 'msg_id'::name),
q.relkind = 'p' AS partitioned,
pg_catalog.current_setting('transaction_isolation'::text) = 'read committed'::text
FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class q ON q.relnamespace = n.oid AND q.relname = $1::text AND q.relkind IN ('r', 'p') AND NOT q.relispartition
LEFT JOIN pg_catalog.pg_class a ON a.relnamespace = n.oid AND a.relname = $2::text AND a.relkind IN ('r', 'p') AND NOT a.relispartition WHERE n.nspname = 'pgmq'::name
{{end}}
{{define "trigger name"}}'trigger_notify_queue_insert_listeners'{{end}}

{{- /* What a queue of that name would have to be made in place of. */ -}}
{{define "in the way"}}
SELECT c.relname::text, coalesce((SELECT i.inhparent::regclass::text FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition), ''::text)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq'::name AND c.relname::text IN ($1::text, $2::text) AND (c.relispartition OR c.relkind NOT IN ('r', 'p')) LIMIT 1
{{end}}

{{- /* What EnsureQueue looks at in a queue that is there: whether the role may
see to its ids, whether its trigger is PGMQ's, and whether it has an index on vt. */ -}}
{{define "condition"}}
SELECT pg_catalog.pg_has_role(q.relowner, 'USAGE'::text) AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'::text) AND coalesce(pg_catalog.pg_has_role(a.relowner, 'USAGE'::text), false)
 AND pg_catalog.current_setting('transaction_read_only'::text) = 'off'::text,
EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid WHERE g.tgrelid = q.oid
 AND g.tgname = {{template "trigger name"}}::name AND g.tgenabled IN ('O', 'A') AND f.proname = 'notify_queue_listeners'::name),
EXISTS (SELECT FROM pg_catalog.pg_index x JOIN pg_catalog.pg_attribute t ON t.attrelid = x.indrelid AND t.attnum = x.indkey[0]
 WHERE x.indrelid = q.oid AND x.indisvalid AND x.indpred IS NULL AND t.attname = 'vt'::name)
FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class q ON q.relnamespace = n.oid AND q.relname = $1::text
LEFT JOIN pg_catalog.pg_class a ON a.relnamespace = n.oid AND a.relname = $2::text WHERE n.nspname = 'pgmq'::name
{{end}}

{{- /* Ids begin above those of the archive and of the queue, if the sequence
has been set back. */ -}}
{{define "raise ids"}}
SELECT pg_catalog.setval(s, top) FROM (SELECT s, pg_catalog.pg_sequence_last_value(s) AS last, greatest((SELECT pg_catalog.max(msg_id) FROM {{.Q}}),
 (SELECT pg_catalog.max(msg_id) FROM {{.A}} WHERE msg_id < {{template "drawn ids"}})) AS top
 FROM CAST(pg_catalog.pg_get_serial_sequence({{.QName}}, 'msg_id'::text) AS regclass) AS s WHERE s IS NOT NULL) t
WHERE top > coalesce(last, 0)
{{end}}

{{- /* Who stands in the way of a statement that waited for a lock of a queue,
or of one that still waits: the session that has been at it longest. */ -}}
{{define "holders"}}
SELECT {{template "session"}} FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity b ON b.pid = l.pid
WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid() AND b.datname = pg_catalog.current_database()
AND (l.locktype = 'relation'::text AND l.relation IN (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'pgmq'::name AND c.relname::text IN ('q_'::text || $1::text, 'a_'::text || $1::text, 'meta', 'notify_insert_throttle'))
 OR l.locktype = 'advisory'::text AND l.objid::bigint IN (SELECT pg_catalog.hashtext(k)::bigint & 4294967295 FROM pg_catalog.unnest(ARRAY['pgmq.queue_'::text || $1::text, 'pgmq.mq_install'::text]) AS k))
ORDER BY b.xact_start LIMIT 1
{{end}}
{{define "blockers"}}
SELECT {{template "session"}} FROM pg_catalog.pg_stat_activity w CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS u(pid)
JOIN pg_catalog.pg_stat_activity b ON b.pid = u.pid WHERE {{template "w runs $1"}} ORDER BY b.xact_start LIMIT 1
{{end}}
{{- /* The session that makes or drops an index of a queue while that is in use, or
waits to, else the one whose turn it is. Builds and drops hold this lock of the table
until they end, as VACUUM does. Autovacuum is left out: it gives way, and has no user. */ -}}
{{define "indexer"}}
SELECT {{template "session"}} FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity b ON b.pid = l.pid
WHERE l.pid <> pg_catalog.pg_backend_pid() AND b.datname = pg_catalog.current_database() AND b.usesysid IS NOT NULL
AND (l.locktype = 'relation'::text AND l.mode = 'ShareUpdateExclusiveLock'::text AND l.relation IN (SELECT c.oid FROM pg_catalog.pg_class c
 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'pgmq'::name AND c.relname::text = 'q_'::text || $1::text)
 OR l.locktype = 'advisory'::text AND l.objid::bigint = pg_catalog.hashtext('pgmq.mq_indexes_'::text || $1::text)::bigint & 4294967295)
ORDER BY l.locktype DESC, l.granted DESC, b.xact_start LIMIT 1
{{end}}
{{define "session"}}b.pid, coalesce(b.application_name, ''::text), coalesce(b.state, ''::text), coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - b.xact_start)::float8, 0::float8){{end}}
{{define "w runs $1"}}w.datname = pg_catalog.current_database() AND w.pid <> pg_catalog.pg_backend_pid() AND w.state = 'active'::text AND pg_catalog."left"(w.query, 200) = pg_catalog."left"($1::text, 200){{end}}
{{define "cancel"}}SELECT pg_catalog.pg_cancel_backend(w.pid) FROM pg_catalog.pg_stat_activity w WHERE {{template "w runs $1"}} AND w.usename = current_user{{end}}
{{define "lock timeout"}}SET LOCAL lock_timeout = '1s'{{end}}

{{define "throttle"}}SELECT queue_name, throttle_interval_ms FROM pgmq.notify_insert_throttle WHERE pg_catalog.lower(queue_name::text) = $1::text{{end}}

{{define "ping"}}SELECT 1{{end}}

{{- /* Whether a session has what our pool sets. */ -}}
{{define "settings"}}SELECT pg_catalog.current_setting('enable_seqscan'::text) = 'off'::text AND pg_catalog.current_setting('plan_cache_mode'::text) = 'force_generic_plan'::text{{end}}

{{- /* What follows is run with no values, one command after the other. */ -}}

{{- /* PGMQ's own trigger makes senders wait for each other's transactions. Where
PGMQ has one, a queue gets ours under the same name, if the role may make it. */ -}}
{{define "has pgmq"}}
SELECT pg_catalog.to_regprocedure('pgmq.create(text)'::text) IS NOT NULL,
pg_catalog.to_regprocedure('pgmq.enable_notify_insert(text,integer)'::text) IS NOT NULL
 AND coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgmq.notify_insert_throttle'::text)::oid, 'INSERT'::text), false)
 AND (pg_catalog.to_regprocedure('pgmq.mq_notify_insert()'::text) IS NOT NULL OR coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('pgmq'::text)::oid, 'CREATE'::text), false)),
pg_catalog.to_regprocedure('pgmq.drop_queue(text)'::text) IS NOT NULL OR pg_catalog.to_regprocedure('pgmq.drop_queue(text,boolean)'::text) IS NOT NULL,
pg_catalog.to_regclass('pgmq.meta'::text) IS NOT NULL
{{end}}
{{define "pgmq create"}}SELECT FROM pgmq.create($1::text){{end}}
{{define "pgmq drop"}}SELECT FROM pgmq.drop_queue($1::text){{end}}

{{- /* Without pg_partman PGMQ cannot drop a queue that is partitioned. */ -}}
{{define "spellings"}}
SELECT queue_name FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text
AND (NOT is_partitioned OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_partman'::name)) ORDER BY 1
{{end}}

{{- /* The lock that PGMQ takes for the same purpose. */ -}}
{{define "lock queue"}}SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('pgmq.queue_'::text || $1::text)){{end}}
{{define "lock install"}}SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('pgmq.mq_install'::text)){{end}}

{{define "try lock indexes"}}SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('pgmq.mq_indexes_'::text || $1::text)){{end}}

{{- /* A transaction keeps the snapshot of its last statement until there is
another one, and whoever makes an index concurrently waits for it. */ -}}
{{define "drop snapshot"}}SET LOCAL mq.turn = 'indexes'{{end}}

{{define "make schema"}}CREATE SCHEMA IF NOT EXISTS pgmq{{end}}
{{- /* A trigger function of an older version is made again by its owner. */ -}}
{{define "has schema"}}SELECT pg_catalog.to_regnamespace('pgmq'::text) IS NOT NULL, pg_catalog.to_regclass('pgmq.meta'::text) IS NOT NULL,
pg_catalog.to_regclass('pgmq.notify_insert_throttle'::text) IS NOT NULL,
EXISTS (SELECT FROM pg_catalog.pg_proc f WHERE f.oid = pg_catalog.to_regprocedure('pgmq.mq_notify_insert()'::text)::oid
 AND (pg_catalog.strpos(f.prosrc, 'pg_try_advisory_xact_lock'::text) > 0 OR NOT pg_catalog.pg_has_role(f.proowner, 'USAGE'::text))){{end}}

{{define "make meta"}}
CREATE TABLE IF NOT EXISTS pgmq.meta (
 queue_name varchar UNIQUE NOT NULL,
 is_partitioned boolean NOT NULL,
 is_unlogged boolean NOT NULL,
 created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
)
{{end}}

{{define "make throttle"}}
CREATE UNLOGGED TABLE IF NOT EXISTS pgmq.notify_insert_throttle (
 queue_name varchar UNIQUE NOT NULL REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
 throttle_interval_ms integer NOT NULL DEFAULT 0,
 last_notified_at timestamptz NOT NULL DEFAULT pg_catalog.to_timestamp(0::float8)
)
{{end}}

{{- /* The trigger of the queues made here. Unlike PGMQ's it runs once a
statement; a row that is missing, as after a crash, is put back; and it never
waits for another sender's transaction: not for its lock on the row, nor for a
row that it is about to insert. */ -}}
{{define "make notify function"}}
CREATE OR REPLACE FUNCTION pgmq.mq_notify_insert() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
 queue text := TG_ARGV[0];
 every integer := TG_ARGV[1];
BEGIN
 IF pg_catalog.current_setting('transaction_isolation'::text) <> 'read committed'::text THEN -- a row lock could fail the transaction
  PERFORM pg_catalog.pg_notify('pgmq.'::text || TG_TABLE_NAME::text || '.INSERT'::text, ''::text);
  RETURN NULL;
 END IF;
 PERFORM FROM pgmq.notify_insert_throttle WHERE queue_name::text = queue
  AND last_notified_at > pg_catalog.clock_timestamp() - throttle_interval_ms::float8 * interval '1 millisecond';
 IF FOUND THEN
  RETURN NULL;
 END IF;
 PERFORM FROM pgmq.notify_insert_throttle WHERE queue_name::text = queue FOR UPDATE SKIP LOCKED;
 IF FOUND THEN
  UPDATE pgmq.notify_insert_throttle SET last_notified_at = pg_catalog.clock_timestamp() WHERE queue_name::text = queue;
 ELSIF pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('pgmq.mq_throttle_'::text || queue)::bigint)
  AND NOT EXISTS (SELECT FROM pgmq.notify_insert_throttle WHERE queue_name::text = queue) THEN
  BEGIN
   INSERT INTO pgmq.notify_insert_throttle VALUES (queue, every, pg_catalog.clock_timestamp()) ON CONFLICT DO NOTHING;
  EXCEPTION WHEN foreign_key_violation THEN -- the queue is not in pgmq.meta, which is no reason to refuse messages
  END;
 END IF;
 PERFORM pg_catalog.pg_notify('pgmq.'::text || TG_TABLE_NAME::text || '.INSERT'::text, ''::text);
 RETURN NULL;
END
$body$
{{end}}

{{define "make queue"}}
CREATE TABLE IF NOT EXISTS {{.Q}} (
 msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
 read_ct integer NOT NULL DEFAULT 0,
 enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
 last_read_at timestamptz,
 vt timestamptz NOT NULL,
 message jsonb,
 headers jsonb
)
{{end}}
{{define "make index"}}CREATE INDEX IF NOT EXISTS {{.VTIndex}} ON {{.Q}} (vt){{end}}
{{define "make archive"}}
CREATE TABLE IF NOT EXISTS {{.A}} (
 msg_id bigint PRIMARY KEY,
 read_ct integer NOT NULL DEFAULT 0,
 enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
 last_read_at timestamptz,
 archived_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
 vt timestamptz NOT NULL,
 message jsonb,
 headers jsonb
)
{{end}}
{{define "make archive index"}}CREATE INDEX IF NOT EXISTS {{.ArchivedAtIndex}} ON {{.A}} (archived_at){{end}}

{{- /* Queues change much faster than the defaults expect. */ -}}
{{define "tune queue"}}
ALTER TABLE {{.Q}} SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
 autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)
{{end}}

{{define "make meta row"}}
INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged)
SELECT $1::text, c.relkind = 'p', c.relpersistence = 'u' FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($2::text)::oid
AND NOT EXISTS (SELECT FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text)
ON CONFLICT DO NOTHING
{{end}}

{{- /* Sessions of this driver wake receivers themselves. */ -}}
{{define "make trigger"}}
CREATE TRIGGER trigger_notify_queue_insert_listeners AFTER INSERT ON {{.Q}} FOR EACH STATEMENT
WHEN (pg_catalog.current_setting('mq.notify'::text, true) IS DISTINCT FROM 'own'::text) EXECUTE FUNCTION pgmq.mq_notify_insert({{.Literal}}, '{{.Every}}')
{{end}}
{{define "make throttle row"}}
INSERT INTO pgmq.notify_insert_throttle (queue_name, throttle_interval_ms)
SELECT queue_name, $2::int FROM pgmq.meta WHERE queue_name::text = $1::text ON CONFLICT DO NOTHING
{{end}}

{{define "add headers"}}ALTER TABLE {{.}} ADD COLUMN IF NOT EXISTS headers jsonb{{end}}
{{define "add last_read_at"}}ALTER TABLE {{.}} ADD COLUMN IF NOT EXISTS last_read_at timestamptz{{end}}

{{- /* No IF NOT EXISTS with CONCURRENTLY: an index that another session is making
exists already and is not valid yet, so its name must be an error. */ -}}
{{define "make group index"}}CREATE INDEX {{template "index how" .}} {{.GroupIndex}} ON {{.Q}} (({{.Key}}), msg_id) WHERE ({{.Key}}) IS NOT NULL{{end}}
{{define "make lease index"}}CREATE INDEX {{template "index how" .}} {{.LeaseIndex}} ON {{.Q}} (({{.Key}}), (vt AT TIME ZONE 'UTC')) WHERE read_ct > 0 OR ({{.Key}}) IS NULL{{end}}
{{define "index how"}}{{if .Concurrently}}CONCURRENTLY{{else}}IF NOT EXISTS{{end}}{{end}}
{{define "drop index"}}DROP INDEX CONCURRENTLY IF EXISTS pgmq.{{.}}{{end}}

{{define "drop queue"}}DROP TABLE IF EXISTS {{.Q}}{{end}}
{{define "drop archive"}}DROP TABLE IF EXISTS {{.A}}{{end}}
{{define "drop meta rows"}}DELETE FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text{{end}}
