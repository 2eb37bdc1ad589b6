{{- /*
All SQL of the driver. Values are bound; what stands in braces is a name or a
constant that ident or literal has quoted, or a column that the catalog shows.

Three habits recur. statement_timestamp() is compared with vt, since a volatile
clock keeps the index on vt from being used. Rows are found by
"= ANY(ARRAY(SELECT ...))" and not by a join, since a generic plan of a join
hashes the whole table. And whatever waits for row locks takes them in the
order of msg_id, so that no two statements wait for each other.
*/ -}}

{{- /* A batch's rows get vt that differ by microseconds and lie in the past:
one sender's messages are due in the order in which they were sent. */ -}}
{{define "insert"}}
INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
SELECT statement_timestamp() + (coalesce(d, 0) - (cardinality($2::text[]) - o)) * interval '1 microsecond', b::jsonb{{if .Headers}}, h::jsonb{{end}}
FROM unnest($1::bigint[], $2::text[]{{if .Headers}}, $3::text[]{{end}}) WITH ORDINALITY AS t(d, b{{if .Headers}}, h{{end}}, o) ORDER BY o
RETURNING msg_id
{{end}}

{{define "insert one"}}
INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
VALUES (statement_timestamp() + $1::bigint * interval '1 microsecond', $2::text::jsonb{{if .Headers}}, $3::text::jsonb{{end}})
RETURNING msg_id
{{end}}

{{define "channel"}}{{if .Headers}}$4{{else}}$3{{end}}::text{{end}}

{{define "insert notifying"}}
WITH n AS MATERIALIZED (SELECT pg_notify({{template "channel" .}}, '')), i AS ({{template "insert" .}})
SELECT msg_id FROM i CROSS JOIN n ORDER BY msg_id
{{end}}

{{define "insert one notifying"}}
WITH n AS MATERIALIZED (SELECT pg_notify({{template "channel" .}}, '')), i AS ({{template "insert one" .}})
SELECT msg_id FROM i CROSS JOIN n
{{end}}

{{define "notify"}}SELECT pg_notify($1::text, ''){{end}}

{{- /* What scanDelivery reads. Other programs may write infinite times. A blind
statement reads nothing that they may have written and that cannot be printed. */ -}}
{{define "delivery"}}q.msg_id, q.read_ct, CASE WHEN isfinite(q.enqueued_at) THEN q.enqueued_at END, CASE WHEN isfinite(q.vt) THEN q.vt END, {{template "contents" .}}{{end}}
{{define "contents"}}{{if .Blind}}NULL::jsonb, NULL::jsonb{{else}}q.message, {{template "headers" .}}{{end}}{{end}}
{{define "key"}}{{if and .Key (not .Blind)}}{{.Key}}{{else}}NULL::text{{end}}{{end}}
{{define "bodies"}}SELECT q.msg_id, q.message, {{template "headers" .}}, {{template "key" .}} FROM {{.Q}} q WHERE q.msg_id = ANY($1::bigint[]){{end}}
{{define "headers"}}{{if .Headers}}q.headers{{else}}NULL::jsonb{{end}}{{end}}

{{- /* What a message takes in the table; it is not read for that. */ -}}
{{define "size"}}coalesce(pg_column_size(message), 0){{if .Headers}} + coalesce(pg_column_size(headers), 0){{end}} AS size{{end}}

{{define "due"}}SELECT msg_id, {{template "size" .}} FROM {{.Q}} WHERE vt <= statement_timestamp() ORDER BY {{.Order}} LIMIT $1 FOR UPDATE SKIP LOCKED{{end}}

{{- /* A claim takes 8 MiB of c, and at least one message: more may not get
through before the statement is cut off. */ -}}
{{define "fit"}}
fit AS MATERIALIZED (SELECT msg_id FROM (SELECT msg_id, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before FROM c) s WHERE before < 8388608)
{{end}}

{{define "lease"}}
UPDATE {{.Q}} q SET vt = clock_timestamp() + $2::bigint * interval '1 microsecond', {{if .LastReadAt}}last_read_at = clock_timestamp(), {{end}}read_ct = least(q.read_ct, 2147483646) + 1
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
SELECT EXISTS (SELECT FROM {{.Q}} WHERE vt <= statement_timestamp()),
(SELECT (extract(epoch FROM vt - statement_timestamp()) * 1000000)::bigint FROM {{.Q}}
 WHERE vt > statement_timestamp() AND vt < 'infinity' ORDER BY vt LIMIT 1)
{{end}}

{{- /* The fence is compared with the row as it was locked, not as the statement
saw it at first: an extension that commits meanwhile changes nothing, a new
lease does. What failed is returned, by its place, and whether the message is
gone: NULL if another transaction has locked it. Only in a caller's transaction,
whose other statements depend on it, does it wait for that. */ -}}
{{define "fence"}}
l AS MATERIALIZED (SELECT msg_id, read_ct, enqueued_at, vt FROM {{.Q}} WHERE msg_id = ANY($1::bigint[]) ORDER BY msg_id FOR UPDATE{{if not .Waits}} SKIP LOCKED{{end}}),
m AS MATERIALIZED (SELECT s.*, {{if .Waits}}l.msg_id IS NULL{{else}}CASE WHEN l.msg_id IS NOT NULL THEN false WHEN NOT EXISTS (SELECT FROM {{.Q}} x WHERE x.msg_id = s.id) THEN true END{{end}} AS gone,
 l.msg_id IS NOT NULL AND (s.reads IS NULL OR l.read_ct = s.reads) AND (s.sent IS NULL OR l.enqueued_at = {{template "time of s"}}) AS ok,
 l.vt > clock_timestamp() AS alive
 FROM s LEFT JOIN l ON l.msg_id = s.id)
{{end}}
{{define "time of s"}}timestamptz 'epoch' + s.sent * interval '1 microsecond'{{end}}

{{define "ack one"}}
DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM {{.Q}} WHERE msg_id = $1::bigint AND read_ct = $2::int
 AND enqueued_at = timestamptz 'epoch' + $3::bigint * interval '1 microsecond' FOR UPDATE SKIP LOCKED)) RETURNING msg_id
{{end}}

{{define "ack"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[]) WITH ORDINALITY AS t(id, reads, sent, i)),
{{template "fence" .}},
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok)))
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{- /* The numbers are those of driver.Op. A nack forgets last_read_at, so that
what waits for its delay can be told from what is leased. */ -}}
{{define "settle"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::int[], $5::bigint[], $6::text[]) WITH ORDINALITY AS t(id, reads, sent, op, delay, reason, i)),
{{template "fence" .}},
j AS MATERIALIZED (SELECT jsonb_object_agg(id, delay) AS delays FROM m WHERE ok AND op = 2),
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 1))),
n AS (UPDATE {{.Q}} SET vt = clock_timestamp() + ((SELECT delays FROM j) ->> msg_id::text)::bigint * interval '1 microsecond'{{if .LastReadAt}}, last_read_at = NULL{{end}}
 WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 2))){{if .Kept}},
x AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 3)) RETURNING *),
a AS (INSERT INTO {{.A}} ({{range $i, $c := .Kept}}{{if $i}}, {{end}}{{$c}}{{end}})
 SELECT {{range $i, $c := .Kept}}{{if $i}}, {{end}}{{if eq $c "headers"}}{{template "reasoned" $}}{{else}}x.{{$c}}{{end}}{{end}} FROM x JOIN m ON m.id = x.msg_id AND m.ok){{end}}
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{define "object"}}coalesce(CASE jsonb_typeof(x.headers) WHEN 'object' THEN x.headers END, '{}'){{end}}
{{define "reasoned"}}CASE WHEN m.reason IS NULL THEN x.headers ELSE {{template "object"}} || jsonb_build_object('mq-reason', m.reason) END{{end}}
{{define "in order"}}statement_timestamp() - (count(*) OVER () - row_number() OVER (ORDER BY x.msg_id)) * interval '1 microsecond'{{end}}

{{define "move"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[]) WITH ORDINALITY AS t(id, reads, sent, reason, i)),
{{template "fence" .}},
x AS (DELETE FROM {{.Q}} q WHERE q.msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok)) RETURNING q.msg_id, q.message, {{template "headers" .}} AS headers),
i AS (INSERT INTO {{.To}} (vt, message, headers)
 SELECT {{template "in order"}}, x.message,
 {{template "object"}} - 'mq-reason' || jsonb_strip_nulls(jsonb_build_object('mq-origin', $5::text || x.msg_id, 'mq-reason', m.reason))
 FROM x JOIN m ON m.id = x.msg_id AND m.ok ORDER BY x.msg_id)
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{define "extend"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[]) WITH ORDINALITY AS t(id, reads, sent, i)),
{{template "fence" .}},
n AS (UPDATE {{.Q}} SET vt = clock_timestamp() + $4::bigint * interval '1 microsecond' WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND alive)))
SELECT i, gone FROM m WHERE NOT (ok AND alive)
{{end}}

{{- /* Makes a transaction unable to commit. */ -}}
{{define "abort"}}SELECT 1 / (SELECT 0){{end}}

{{define "browse"}}
SELECT {{template "record" .}}, NULL::timestamptz FROM {{.Q}} q WHERE q.msg_id > $1::bigint ORDER BY q.msg_id LIMIT $2::int
{{end}}
{{define "browse archive"}}
SELECT {{template "record" .}}, CASE WHEN isfinite(q.archived_at) THEN q.archived_at END FROM {{.A}} q WHERE q.msg_id > $1::bigint ORDER BY q.msg_id LIMIT $2::int
{{end}}
{{define "record"}}q.msg_id, q.read_ct, CASE WHEN isfinite(q.enqueued_at) THEN q.enqueued_at END, CASE WHEN isfinite(q.vt) THEN q.vt END, {{template "contents" .}}{{end}}

{{define "purge"}}
WITH l AS MATERIALIZED (SELECT msg_id FROM {{.Q}} ORDER BY msg_id FOR UPDATE),
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)) RETURNING 1)
SELECT count(*) FROM d
{{end}}

{{define "purge archive"}}
WITH l AS MATERIALIZED (SELECT msg_id FROM {{.A}} WHERE $1::bigint = 0 OR archived_at <= clock_timestamp() - $1::bigint * interval '1 microsecond' ORDER BY msg_id FOR UPDATE),
d AS (DELETE FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM l)) RETURNING 1)
SELECT count(*) FROM d
{{end}}

{{- /* $1 is NULL for the lowest ids. */ -}}
{{define "redrive"}}
WITH l AS MATERIALIZED (SELECT msg_id FROM {{.A}} WHERE $1::bigint[] IS NULL OR msg_id = ANY($1::bigint[]) ORDER BY msg_id LIMIT $2::bigint FOR UPDATE),
x AS (DELETE FROM {{.A}} q WHERE q.msg_id = ANY(ARRAY(SELECT msg_id FROM l)) RETURNING q.msg_id, q.message{{if .Headers}}, q.headers{{end}}),
i AS (INSERT INTO {{.Q}} (vt, message{{if .Headers}}, headers{{end}})
 SELECT {{template "in order"}}, x.message{{if .Headers}}, {{template "object"}} - 'mq-reason' || jsonb_build_object('mq-origin', $3::text || x.msg_id){{end}}
 FROM x ORDER BY x.msg_id RETURNING 1)
SELECT count(*) FROM i
{{end}}

{{- /* Counts are exact up to $1. Above it they are estimated, from the size of
the tables and from the histogram of vt. */ -}}
{{define "stats"}}
SELECT (SELECT count(*) FROM (SELECT FROM {{.Q}} WHERE vt <= statement_timestamp() ORDER BY vt LIMIT $1::int + 1) v),
i.n, i.leased,
{{if .Kept}}(SELECT count(*) FROM (SELECT FROM {{.A}} LIMIT $1::int + 1) a){{else}}0{{end}},
{{template "estimate" .QName}}, {{if .Kept}}{{template "estimate" .AName}}{{else}}0{{end}},
(SELECT count(*) FILTER (WHERE b <= statement_timestamp()) / greatest(count(*), 1)::float8 FROM pg_stats, unnest(histogram_bounds::text::timestamptz[]) AS b
 WHERE schemaname = 'pgmq' AND tablename = $2::text AND attname = 'vt'),
(SELECT (extract(epoch FROM clock_timestamp() - enqueued_at) * 1000000)::bigint FROM {{.Q}} WHERE isfinite(enqueued_at) ORDER BY msg_id LIMIT 1),
(SELECT (extract(epoch FROM clock_timestamp() - enqueued_at) * 1000000)::bigint FROM {{.Q}} WHERE isfinite(enqueued_at) ORDER BY msg_id DESC LIMIT 1),
(SELECT CASE WHEN has_sequence_privilege(s, 'SELECT, USAGE') THEN coalesce(pg_sequence_last_value(s), 0) END
 FROM CAST(pg_get_serial_sequence({{.QName}}, 'msg_id') AS regclass) AS s WHERE s IS NOT NULL),
clock_timestamp()
FROM (SELECT count(*) AS n, count(*) FILTER (WHERE leased) AS leased
 FROM (SELECT read_ct > 0{{if .LastReadAt}} AND last_read_at IS NOT NULL{{end}} AS leased FROM {{.Q}} WHERE vt > statement_timestamp() ORDER BY vt LIMIT $1::int + 1) t) i
{{end}}
{{define "estimate"}}(SELECT sum(CASE WHEN relpages > 0 THEN reltuples * (pg_relation_size(oid) / current_setting('block_size')::int) / relpages END)::bigint
 FROM pg_class WHERE oid = {{.}}::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = {{.}}::regclass)){{end}}

{{- /* A group is free if its oldest message is visible and none of it is
leased. What was leased a moment ago and is not the oldest still counts, since
an extension of it may be about to commit. The ORDER BY leaves no other index
than that of leases to be used. */ -}}
{{define "free"}}
CROSS JOIN LATERAL (SELECT h.msg_id, h.vt FROM {{.Q}} h WHERE {{.Key}} = w.k ORDER BY {{.Key}}, h.msg_id LIMIT 1) f
WHERE f.vt <= statement_timestamp() AND NOT EXISTS (SELECT FROM {{.Q}} x WHERE {{.Key}} = w.k AND x.read_ct > 0
 AND x.vt > statement_timestamp() - interval '100 milliseconds' AND (x.vt > statement_timestamp() OR x.msg_id <> f.msg_id) ORDER BY {{.Key}}, x.vt OFFSET 0)
{{end}}
{{define "lock of k"}}{{.QName}}::regclass::oid::int, hashtext(k){{end}}

{{- /* Chooses groups and locks them. Candidates are the groups of what is due
longest ($2 rows), and then those that a bounded walk over all groups finds ($3
steps from $4 on). c is materialised so that no group is locked before it was
seen to be free. The locked groups stay on the server, in a setting of this
transaction; what is returned is where the next walk begins. */ -}}
{{define "choose groups"}}
WITH RECURSIVE due AS MATERIALIZED (SELECT {{.Key}} AS k, vt AS v FROM {{.Q}} q WHERE vt <= statement_timestamp() ORDER BY vt LIMIT $2::int),
near AS MATERIALIZED (SELECT k, min(v) AS v FROM due WHERE k IS NOT NULL GROUP BY k ORDER BY 2),
walk(k, n) AS ((SELECT {{.Key}}, 1 FROM {{.Q}} p WHERE {{.Key}} > $4::text ORDER BY {{.Key}} LIMIT 1) UNION ALL
 SELECT (SELECT {{.Key}} FROM {{.Q}} p WHERE {{.Key}} > u.k ORDER BY {{.Key}} LIMIT 1), u.n + 1 FROM walk u WHERE u.k IS NOT NULL AND u.n < $3::int),
c AS MATERIALIZED (SELECT w.k, w.v, false AS far FROM near w {{template "free" .}} UNION ALL SELECT w.k, f.vt, true FROM walk w {{template "free" .}} AND w.k IS NOT NULL),
t AS MATERIALIZED (SELECT k, v, far FROM c WHERE pg_try_advisory_xact_lock({{template "lock of k" .}}) LIMIT $1::int)
SELECT left(set_config('mq.groups', coalesce((SELECT jsonb_agg(jsonb_build_array(k, v))::text FROM t), '[]'), true), 0),
{{if .Blind}}''{{else}}coalesce(CASE WHEN (SELECT count(*) FROM t) < $1::int THEN (SELECT k FROM walk WHERE n = $3::int) ELSE (SELECT max(k) FROM t WHERE far) END, ''){{end}}
{{end}}

{{define "choose groups without an index"}}
WITH heads AS MATERIALIZED (SELECT DISTINCT ON ({{.Key}}) {{.Key}} AS k, msg_id, vt FROM {{.Q}} WHERE {{.Key}} IS NOT NULL ORDER BY {{.Key}}, msg_id),
due AS MATERIALIZED (SELECT {{.Key}} AS k, min(vt) AS v FROM {{.Q}} WHERE {{.Key}} IS NOT NULL GROUP BY 1),
c AS MATERIALIZED (SELECT k, v FROM heads JOIN due USING (k) WHERE vt <= statement_timestamp() AND k NOT IN {{template "leased groups" .}} ORDER BY v, msg_id),
t AS MATERIALIZED (SELECT k, v FROM c WHERE pg_try_advisory_xact_lock({{template "lock of k" .}}) LIMIT $1::int)
SELECT left(set_config('mq.groups', coalesce((SELECT jsonb_agg(jsonb_build_array(k, v))::text FROM t), '[]'), true), 0), ''
{{end}}
{{define "leased groups"}}(SELECT {{.Key}} FROM {{.Q}} x WHERE {{.Key}} IS NOT NULL AND x.read_ct > 0 AND x.vt > statement_timestamp() - interval '100 milliseconds'
 AND (x.vt > statement_timestamp() OR x.msg_id NOT IN (SELECT msg_id FROM heads))){{end}}

{{- /* The same check again, under a snapshot taken after the locks, and the
claim. A row without a key is a group of its own. A group's turn comes by what
it was chosen for, its message that is due longest. */ -}}
{{define "claim groups"}}
WITH w AS MATERIALIZED (SELECT (j ->> 0) COLLATE "C" AS k, min((j ->> 1)::timestamptz) AS v FROM jsonb_array_elements(current_setting('mq.groups')::jsonb) AS j GROUP BY 1),
{{if .Indexed -}}
f AS MATERIALIZED (SELECT f.msg_id, w.v FROM w {{template "free" .}}
{{- else -}}
heads AS MATERIALIZED (SELECT DISTINCT ON ({{.Key}}) {{.Key}} AS k, msg_id, vt FROM {{.Q}} WHERE {{.Key}} IN (SELECT k FROM w) ORDER BY {{.Key}}, msg_id),
f AS MATERIALIZED (SELECT msg_id, v FROM heads JOIN w USING (k) WHERE vt <= statement_timestamp() AND k NOT IN {{template "leased groups" .}}
{{- end}} UNION ALL (SELECT msg_id, vt FROM {{.Q}} q WHERE {{.Key}} IS NULL AND vt <= statement_timestamp() ORDER BY {{.Key}}, vt LIMIT $1::int)),
p AS MATERIALIZED (SELECT msg_id FROM f ORDER BY v, msg_id LIMIT $1::int),
c AS MATERIALIZED (SELECT msg_id, {{template "size" .}} FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p)) AND (vt <= statement_timestamp()) IS TRUE ORDER BY msg_id FOR UPDATE SKIP LOCKED),
{{template "fit" .}}
{{template "lease" .}} RETURNING {{template "delivery" .}}, {{template "key" .}}
{{end}}

{{define "lock group"}}SELECT pg_advisory_xact_lock({{template "lock of k" .}}) FROM (SELECT $1::text AS k) w{{end}}

{{- /* $1 max, $2 visibility, $3 the group, $4-$6 what the caller holds of it,
$7 whether to take delayed messages. It takes nothing while somebody else has a
lease of the group, and ends in front of what is delayed or locked. */ -}}
{{define "claim group"}}
WITH s AS MATERIALIZED (SELECT * FROM unnest($4::bigint[], $5::int[], $6::bigint[]) AS t(id, reads, sent)),
held AS MATERIALIZED (SELECT x.msg_id FROM {{.Q}} x JOIN s ON s.id = x.msg_id WHERE x.msg_id = ANY($4::bigint[]) AND {{.Key}} = $3::text AND x.read_ct > 0
 AND x.vt > statement_timestamp() AND (s.reads IS NULL OR x.read_ct = s.reads) AND (s.sent IS NULL OR x.enqueued_at = {{template "time of s"}})),
r AS MATERIALIZED (SELECT x.msg_id, x.vt > statement_timestamp() AND NOT $7::boolean AS delayed FROM {{.Q}} x
 WHERE {{.Key}} = $3::text AND x.msg_id <> ALL(ARRAY(SELECT msg_id FROM held)) ORDER BY {{.Key}}, x.msg_id LIMIT $1::int),
p AS MATERIALIZED (SELECT msg_id FROM r WHERE NOT delayed AND msg_id < coalesce((SELECT min(msg_id) FROM r WHERE delayed), 9223372036854775807)
 AND NOT EXISTS (SELECT FROM {{.Q}} x WHERE {{.Key}} = $3::text AND x.read_ct > 0 AND x.vt > statement_timestamp() AND x.msg_id <> ALL(ARRAY(SELECT msg_id FROM held)) ORDER BY {{.Key}}, x.vt OFFSET 0)),
o AS MATERIALIZED (SELECT msg_id, {{template "size" .}} FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT msg_id FROM p)) AND (vt <= statement_timestamp() OR $7::boolean) ORDER BY msg_id FOR UPDATE SKIP LOCKED),
c AS MATERIALIZED (SELECT msg_id, size FROM o WHERE msg_id < coalesce((SELECT min(msg_id) FROM p WHERE msg_id NOT IN (SELECT msg_id FROM o)), 9223372036854775807)),
{{template "fit" .}}
{{template "lease" .}} RETURNING {{template "delivery" .}}, {{template "key" .}}
{{end}}

{{- /* The catalog, and not meta, which may lack queues or have one twice. */ -}}
{{define "list"}}
SELECT substr(c.relname, 3) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq' AND c.relname LIKE 'q\_%' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND 5 = (SELECT count(*) FROM pg_attribute t WHERE t.attrelid = c.oid AND NOT t.attisdropped AND t.attname IN ('msg_id', 'read_ct', 'enqueued_at', 'vt', 'message'))
ORDER BY 1
{{end}}

{{define "shape"}}
SELECT (SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = q.oid AND attnum > 0 AND NOT attisdropped),
(SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = a.oid AND attnum > 0 AND NOT attisdropped),
(SELECT string_agg(i.relname, ',') FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = q.oid AND x.indisvalid),
EXISTS (SELECT FROM pg_trigger WHERE tgrelid = q.oid AND tgname = 'trigger_notify_queue_insert_listeners' AND tgenabled IN ('O', 'A'))
FROM pg_namespace n JOIN pg_class q ON q.relnamespace = n.oid AND q.relname = $1::text AND q.relkind IN ('r', 'p')
LEFT JOIN pg_class a ON a.relnamespace = n.oid AND a.relname = $2::text AND a.relkind IN ('r', 'p') WHERE n.nspname = 'pgmq'
{{end}}

{{define "throttle"}}SELECT queue_name, throttle_interval_ms FROM pgmq.notify_insert_throttle WHERE lower(queue_name) = $1::text{{end}}

{{define "ping"}}SELECT 1{{end}}

{{- /* Whether a session has what our pool sets. */ -}}
{{define "settings"}}SELECT current_setting('enable_seqscan'::text) = 'off'::text AND current_setting('plan_cache_mode'::text) = 'force_generic_plan'::text{{end}}

{{- /* What follows is run with no values, one command after the other. */ -}}

{{define "has pgmq"}}
SELECT to_regprocedure('pgmq.create(text)') IS NOT NULL, to_regprocedure('pgmq.enable_notify_insert(text,integer)') IS NOT NULL,
to_regprocedure('pgmq.drop_queue(text)') IS NOT NULL OR to_regprocedure('pgmq.drop_queue(text,boolean)') IS NOT NULL,
to_regclass('pgmq.meta') IS NOT NULL
{{end}}
{{define "pgmq create"}}SELECT FROM pgmq.create($1::text){{end}}
{{define "pgmq enable notify"}}SELECT FROM pgmq.enable_notify_insert($1::text, $2::int){{end}}
{{define "pgmq drop"}}SELECT FROM pgmq.drop_queue($1::text){{end}}
{{define "spellings"}}SELECT queue_name FROM pgmq.meta WHERE lower(queue_name) = $1::text ORDER BY 1{{end}}

{{- /* The lock that PGMQ takes for the same purpose. */ -}}
{{define "lock queue"}}SELECT pg_advisory_xact_lock(hashtext('pgmq.queue_' || $1::text)){{end}}
{{define "lock install"}}SELECT pg_advisory_xact_lock(hashtext('pgmq.mq_install')){{end}}

{{define "try lock indexes"}}SELECT pg_try_advisory_xact_lock(hashtext('pgmq.mq_indexes_' || $1::text)){{end}}

{{- /* A transaction keeps the snapshot of its last statement until there is
another one, and whoever makes an index concurrently waits for it. */ -}}
{{define "drop snapshot"}}SET LOCAL mq.turn = 'indexes'{{end}}

{{define "make schema"}}CREATE SCHEMA IF NOT EXISTS pgmq{{end}}
{{define "has schema"}}SELECT to_regnamespace('pgmq') IS NOT NULL, to_regclass('pgmq.meta') IS NOT NULL,
to_regclass('pgmq.notify_insert_throttle') IS NOT NULL, to_regprocedure('pgmq.mq_notify_insert()') IS NOT NULL{{end}}

{{define "make meta"}}
CREATE TABLE IF NOT EXISTS pgmq.meta (
 queue_name varchar UNIQUE NOT NULL,
 is_partitioned boolean NOT NULL,
 is_unlogged boolean NOT NULL,
 created_at timestamptz NOT NULL DEFAULT now()
)
{{end}}

{{define "make throttle"}}
CREATE UNLOGGED TABLE IF NOT EXISTS pgmq.notify_insert_throttle (
 queue_name varchar UNIQUE NOT NULL REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
 throttle_interval_ms integer NOT NULL DEFAULT 0,
 last_notified_at timestamptz NOT NULL DEFAULT to_timestamp(0)
)
{{end}}

{{- /* The trigger of the queues made here. Unlike PGMQ's it runs once a
statement; a row that is missing, as after a crash, is put back; and it never
waits for another sender's transaction. */ -}}
{{define "make notify function"}}
CREATE OR REPLACE FUNCTION pgmq.mq_notify_insert() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
 queue text := TG_ARGV[0];
 every integer := TG_ARGV[1];
BEGIN
 IF current_setting('transaction_isolation') <> 'read committed' THEN -- a row lock could fail the transaction
  PERFORM pg_notify('pgmq.' || TG_TABLE_NAME || '.INSERT', '');
  RETURN NULL;
 END IF;
 PERFORM FROM pgmq.notify_insert_throttle WHERE queue_name = queue
  AND last_notified_at > clock_timestamp() - throttle_interval_ms * interval '1 millisecond';
 IF FOUND THEN
  RETURN NULL;
 END IF;
 PERFORM FROM pgmq.notify_insert_throttle WHERE queue_name = queue FOR UPDATE SKIP LOCKED;
 IF FOUND THEN
  UPDATE pgmq.notify_insert_throttle SET last_notified_at = clock_timestamp() WHERE queue_name = queue;
 ELSIF NOT EXISTS (SELECT FROM pgmq.notify_insert_throttle WHERE queue_name = queue) THEN
  BEGIN
   INSERT INTO pgmq.notify_insert_throttle VALUES (queue, every, clock_timestamp()) ON CONFLICT DO NOTHING;
  EXCEPTION WHEN foreign_key_violation THEN -- the queue is not in pgmq.meta, which is no reason to refuse messages
  END;
 END IF;
 PERFORM pg_notify('pgmq.' || TG_TABLE_NAME || '.INSERT', '');
 RETURN NULL;
END
$body$
{{end}}

{{define "make queue"}}
CREATE TABLE IF NOT EXISTS {{.Q}} (
 msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
 read_ct integer NOT NULL DEFAULT 0,
 enqueued_at timestamptz NOT NULL DEFAULT now(),
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
 enqueued_at timestamptz NOT NULL DEFAULT now(),
 last_read_at timestamptz,
 archived_at timestamptz NOT NULL DEFAULT now(),
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
SELECT $1::text, c.relkind = 'p', c.relpersistence = 'u' FROM pg_class c WHERE c.oid = to_regclass($2::text)
AND NOT EXISTS (SELECT FROM pgmq.meta WHERE lower(queue_name) = $1::text)
ON CONFLICT DO NOTHING
{{end}}

{{- /* Sessions of this driver wake receivers themselves. */ -}}
{{define "make trigger"}}
CREATE TRIGGER trigger_notify_queue_insert_listeners AFTER INSERT ON {{.Q}} FOR EACH STATEMENT
WHEN (current_setting('mq.notify', true) IS DISTINCT FROM 'own') EXECUTE FUNCTION pgmq.mq_notify_insert({{.Literal}}, '{{.Every}}')
{{end}}
{{define "make throttle row"}}
INSERT INTO pgmq.notify_insert_throttle (queue_name, throttle_interval_ms)
SELECT queue_name, $2::int FROM pgmq.meta WHERE queue_name = $1::text ON CONFLICT DO NOTHING
{{end}}

{{define "add headers"}}ALTER TABLE {{.}} ADD COLUMN IF NOT EXISTS headers jsonb{{end}}
{{define "add last_read_at"}}ALTER TABLE {{.}} ADD COLUMN IF NOT EXISTS last_read_at timestamptz{{end}}

{{define "make group index"}}CREATE INDEX CONCURRENTLY IF NOT EXISTS {{.GroupIndex}} ON {{.Q}} (({{.Key}}), msg_id) WHERE ({{.Key}}) IS NOT NULL{{end}}
{{define "make lease index"}}CREATE INDEX CONCURRENTLY IF NOT EXISTS {{.LeaseIndex}} ON {{.Q}} (({{.Key}}), vt) WHERE read_ct > 0 OR ({{.Key}}) IS NULL{{end}}
{{define "drop index"}}DROP INDEX CONCURRENTLY IF EXISTS pgmq.{{.}}{{end}}

{{define "drop queue"}}DROP TABLE IF EXISTS {{.Q}}{{end}}
{{define "drop archive"}}DROP TABLE IF EXISTS {{.A}}{{end}}
{{define "drop meta rows"}}DELETE FROM pgmq.meta WHERE lower(queue_name) = $1::text{{end}}
