{{- /* The queues, from the catalog and not from pgmq.meta, which may lack queues or
have one twice. */ -}}
{{define "list"}}
SELECT pg_catalog.substr(c.relname::text, 3)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq'::name
  AND c.relname::text LIKE 'q\_%'::text
  AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND 5 = (
    SELECT pg_catalog.count(*)
    FROM pg_catalog.pg_attribute t
    WHERE t.attrelid = c.oid
      AND NOT t.attisdropped
      AND t.attname::text IN ('msg_id', 'read_ct', 'enqueued_at', 'vt', 'message')
  )
ORDER BY 1
{{end}}

{{- /* What statements need to know of the tables $1, the queue, and $2, its archive.
Partitions are not queues: their rows are those of another one. */ -}}
{{define "shape"}}
SELECT
  {{template "columns of"}} q.oid AND attnum > 0 AND NOT attisdropped),
  {{template "columns of"}} a.oid AND attnum > 0 AND NOT attisdropped),
  (
    SELECT pg_catalog.string_agg(i.relname::text, ','::text)
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    WHERE x.indrelid = q.oid AND x.indisvalid
  ),
  EXISTS (
    SELECT FROM pg_catalog.pg_trigger
    WHERE tgrelid = q.oid AND tgname = {{template "trigger name"}}::name AND tgenabled IN ('O', 'A')
  ),
  EXISTS (
    SELECT FROM {{template "indexes by first column"}}
    WHERE x.indrelid = a.oid AND x.indisunique AND x.indnkeyatts = 1 AND t.attname = 'msg_id'::name
  ),
  q.relkind = 'p' AS partitioned,
  pg_catalog.current_setting('transaction_isolation'::text) = 'read committed'::text
FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_class q ON q.relnamespace = n.oid
  AND q.relname = $1::text
  AND q.relkind IN ('r', 'p')
  AND NOT q.relispartition
LEFT JOIN pg_catalog.pg_class a ON a.relnamespace = n.oid
  AND a.relname = $2::text
  AND a.relkind IN ('r', 'p')
  AND NOT a.relispartition
WHERE n.nspname = 'pgmq'::name
{{end}}
{{define "columns of"}}(
    SELECT pg_catalog.string_agg(attname::text, ','::text)
    FROM pg_catalog.pg_attribute
    WHERE attrelid =
{{- end}}
{{define "indexes by first column"}}pg_catalog.pg_index x
    JOIN pg_catalog.pg_attribute t ON t.attrelid = x.indrelid AND t.attnum = x.indkey[0]
{{- end}}
{{define "trigger name"}}'{{template "trigger"}}'{{end}}

{{- /* A relation that has one of the names $1 and $2 and is not a queue, and the
table that it is a partition of. */ -}}
{{define "in the way"}}
SELECT
  c.relname::text,
  coalesce(
    (
      SELECT i.inhparent::regclass::text
      FROM pg_catalog.pg_inherits i
      WHERE i.inhrelid = c.oid AND c.relispartition
    ),
    ''::text
  )
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq'::name
  AND c.relname::text IN ($1::text, $2::text)
  AND (c.relispartition OR c.relkind NOT IN ('r', 'p'))
LIMIT 1
{{end}}

{{- /* What EnsureQueue looks at in an existing queue: whether the role may raise its
ids, whether its trigger is PGMQ's, whether it has an index on vt, whether it is
unlogged, and the interval in the second argument of our trigger. The server keeps the
arguments as bytes, each with a zero byte behind it. */ -}}
{{define "condition"}}
SELECT
  pg_catalog.pg_has_role(q.relowner, 'USAGE'::text)
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'::text)
    AND coalesce(pg_catalog.pg_has_role(a.relowner, 'USAGE'::text), false)
    AND pg_catalog.current_setting('transaction_read_only'::text) = 'off'::text,
  EXISTS (
    SELECT FROM pg_catalog.pg_trigger g
    JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid
    WHERE g.tgrelid = q.oid
      AND g.tgname = {{template "trigger name"}}::name
      AND g.tgenabled IN ('O', 'A')
      AND f.proname = 'notify_queue_listeners'::name
  ),
  EXISTS (
    SELECT FROM {{template "indexes by first column"}}
    WHERE x.indrelid = q.oid AND x.indisvalid AND x.indpred IS NULL AND t.attname = 'vt'::name
  ),
  q.relpersistence = 'u',
  coalesce(
    (
      SELECT
        pg_catalog."substring"(pg_catalog.encode(g.tgargs, 'escape'::text), '([0-9]+).000$'::text)::bigint
      FROM pg_catalog.pg_trigger g
      JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid
      WHERE g.tgrelid = q.oid
        AND g.tgname = {{template "trigger name"}}::name
        AND g.tgenabled IN ('O', 'A')
        AND f.proname = 'mq_notify_insert'::name
    ),
    0
  )
FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_class q ON q.relnamespace = n.oid AND q.relname = $1::text
LEFT JOIN pg_catalog.pg_class a ON a.relnamespace = n.oid AND a.relname = $2::text
WHERE n.nspname = 'pgmq'::name
{{end}}

{{- /* The spellings of the queue $1 in the throttle table, and how often each
notifies at most. */ -}}
{{define "throttle"}}
SELECT queue_name, throttle_interval_ms
FROM pgmq.notify_insert_throttle
WHERE pg_catalog.lower(queue_name::text) = $1::text
{{end}}

{{define "ping"}}SELECT 1{{end}}

{{- /* Whether a session has the settings that our own pools ask for. */ -}}
{{define "settings"}}
SELECT pg_catalog.current_setting('enable_seqscan'::text) = 'off'::text
  AND pg_catalog.current_setting('plan_cache_mode'::text) = 'force_generic_plan'::text
{{end}}

{{- /* What PGMQ's functions this database has: for queues, for notifications (and
whether this role may use them, and have a trigger function of ours), for drops,
whether there is a table of queues, and functions for unlogged and partitioned queues,
which need an extension. PGMQ's own trigger makes senders wait for each
other's transactions: where PGMQ has one, a queue gets ours under the same name. */ -}}
{{define "has pgmq"}}
SELECT
  pg_catalog.to_regprocedure('pgmq.create(text)'::text) IS NOT NULL,
  pg_catalog.to_regprocedure('pgmq.enable_notify_insert(text,integer)'::text) IS NOT NULL
    AND coalesce(
      pg_catalog.has_table_privilege(
        pg_catalog.to_regclass('pgmq.notify_insert_throttle'::text)::oid, 'INSERT'::text
      ),
      false
    )
    AND (
      pg_catalog.to_regprocedure('pgmq.mq_notify_insert()'::text) IS NOT NULL
      OR coalesce(
        pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('pgmq'::text)::oid, 'CREATE'::text),
        false
      )
    ),
  pg_catalog.to_regprocedure('pgmq.drop_queue(text)'::text) IS NOT NULL
    OR pg_catalog.to_regprocedure('pgmq.drop_queue(text,boolean)'::text) IS NOT NULL,
  pg_catalog.to_regclass('pgmq.meta'::text) IS NOT NULL,
  pg_catalog.to_regprocedure('pgmq.create_unlogged(text)'::text) IS NOT NULL,
  pg_catalog.to_regprocedure('pgmq.create_partitioned(text,text,text)'::text) IS NOT NULL
    AND EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_partman'::name)
{{end}}
