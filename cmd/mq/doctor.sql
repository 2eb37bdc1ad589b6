-- What mq doctor and mq install ask PostgreSQL, a statement after each name. Whoever may create
-- something in a schema of the path shall not be able to run it here: functions
-- have their schema, and the types of operators are exact, so that nobody's
-- operator fits better.

-- server
SELECT pg_catalog.current_setting('server_version'::text), pg_catalog.current_setting('server_version_num'::text)::int,
 pg_catalog.pg_is_in_recovery(), pg_catalog.quote_ident(current_user::text),
 pg_catalog.pg_has_role(current_user, 'pg_read_all_stats'::name, 'USAGE'::text),
 pg_catalog.current_setting('autovacuum'::text)::bool AND pg_catalog.current_setting('track_counts'::text)::bool,
 (SELECT pg_catalog.sum(numbackends)::int FROM pg_catalog.pg_stat_database), pg_catalog.current_setting('max_connections'::text)::int,
 coalesce((SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'pgmq'::name), ''::text),
 n.oid IS NOT NULL, u.usage,
 CASE WHEN u.usage THEN pg_catalog.to_regprocedure('pgmq.create(text)'::text) IS NOT NULL ELSE false END,
 CASE WHEN u.usage THEN pg_catalog.to_regprocedure('pgmq.enable_notify_insert(text,integer)'::text) IS NOT NULL ELSE false END,
 CASE WHEN u.usage THEN pg_catalog.to_regprocedure('pgmq.mq_notify_insert()'::text) IS NOT NULL ELSE false END,
 EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'message_record'::name
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attname = 'last_read_at'::name)),
 m.oid IS NOT NULL, coalesce(u.usage AND pg_catalog.has_table_privilege(m.oid, 'SELECT'::text), false),
 t.oid IS NOT NULL, coalesce(u.usage AND pg_catalog.has_table_privilege(t.oid, 'SELECT'::text), false),
 NOT coalesce(u.usage AND pg_catalog.has_table_privilege(t.oid, 'UPDATE'::text), false)
FROM (VALUES ('pgmq'::name)) AS s(name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name
CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'::text), false)) AS u(usage)
LEFT JOIN pg_catalog.pg_class m ON m.relnamespace = n.oid AND m.relname = 'meta'::name
LEFT JOIN pg_catalog.pg_class t ON t.relnamespace = n.oid AND t.relname = 'notify_insert_throttle'::name

-- oldest
SELECT h.what, extract(epoch FROM h.since)::float8 FROM (
 SELECT 'session '::text || a.pid::text || ' of '::text
   || coalesce(CASE WHEN a.application_name <> ''::text THEN a.application_name END, a.usename::text, '?'::text)
   || ' ('::text || coalesce(a.state, '?'::text) || ')'::text,
  pg_catalog.now() - a.xact_start
 FROM pg_catalog.pg_stat_activity a
 WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.xact_start IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
  AND a.backend_type <> 'autovacuum worker'::text AND a.datname = pg_catalog.current_database()
 UNION ALL SELECT 'prepared transaction '::text || p.gid, pg_catalog.now() - p.prepared
 FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database()
) AS h(what, since) ORDER BY h.since DESC LIMIT 1

-- slots
SELECT s.slot_name::text, greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin)) FROM pg_catalog.pg_replication_slots s
WHERE NOT s.active AND (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL)
 AND coalesce(s.database, pg_catalog.current_database()) = pg_catalog.current_database()

-- queues
SELECT k.queue, k.q, coalesce(pg_catalog.quote_ident(n.nspname::text) || '.'::text || pg_catalog.quote_ident(a.relname::text), ''::text),
 c.relkind = 'p'::"char", c.relpersistence = 'u'::"char",
 EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'headers'::name AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'last_read_at'::name AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND t.attnum = i.indkey[0]
  WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND t.attname = 'vt'::name),
 coalesce((SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname::text) || '.'::text || pg_catalog.quote_ident(x.relname::text), ', '::text)
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  WHERE i.indrelid = c.oid AND NOT i.indisvalid AND x.relname::text !~ '^mq_(group|lease|due)_'::text), ''::text),
 coalesce(s.n_live_tup, 0::bigint), coalesce(s.n_dead_tup, 0::bigint),
 coalesce(extract(epoch FROM pg_catalog.now() - greatest(s.last_autovacuum, s.last_vacuum))::float8, '-1'::float8),
 EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) o WHERE o.option_name = 'autovacuum_enabled'::text AND NOT o.option_value::bool),
 EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) o WHERE o.option_name = 'autovacuum_vacuum_scale_factor'::text),
 EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'trigger_notify_queue_insert_listeners'::name
  AND g.tgenabled IN ('O'::"char", 'A'::"char")),
 EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
  WHERE g.tgrelid = c.oid AND p.proname = 'mq_notify_insert'::name),
 coalesce((SELECT pg_catalog.string_agg(r.right, ', '::text ORDER BY r.place)
  FROM (VALUES (1, 'SELECT'::text), (2, 'INSERT'::text), (3, 'UPDATE'::text), (4, 'DELETE'::text)) AS r(place, "right")
  WHERE NOT pg_catalog.has_table_privilege(c.oid, r.right)), ''::text),
 coalesce((SELECT pg_catalog.string_agg(r.right, ', '::text ORDER BY r.place)
  FROM (VALUES (1, 'SELECT'::text), (2, 'INSERT'::text)) AS r(place, "right")
  WHERE NOT pg_catalog.has_table_privilege(a.oid, r.right)), ''::text),
 coalesce(CASE WHEN pg_catalog.has_schema_privilege(n.oid, 'USAGE'::text)
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'msg_id'::name AND NOT t.attisdropped)
  THEN pg_catalog.pg_get_serial_sequence(k.q, 'msg_id'::text) END, ''::text),
 coalesce((SELECT pg_catalog.string_agg(pg_catalog.quote_ident(d.nspname::text) || '.'::text || pg_catalog.quote_ident(p.relname::text), E'\n'::text)
  FROM pg_catalog.pg_partitioned_table pt JOIN pg_catalog.pg_class p ON p.oid = pt.partdefid JOIN pg_catalog.pg_namespace d ON d.oid = p.relnamespace
  WHERE pt.partrelid IN (c.oid, a.oid) AND pg_catalog.has_table_privilege(p.oid, 'SELECT'::text)), ''::text)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_catalog.substr(c.relname::text, 3), pg_catalog.quote_ident(n.nspname::text) || '.'::text || pg_catalog.quote_ident(c.relname::text)) AS k(queue, q)
LEFT JOIN pg_catalog.pg_class a ON a.relnamespace = n.oid AND a.relname::text = 'a_'::text || k.queue
 AND a.relkind IN ('r'::"char", 'p'::"char") AND NOT a.relispartition
LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid
WHERE n.nspname = 'pgmq'::name AND c.relname::text LIKE 'q\_%'::text AND c.relkind IN ('r'::"char", 'p'::"char") AND NOT c.relispartition
ORDER BY 1

-- groupings
SELECT pg_catalog.substr(c.relname::text, 3), coalesce(pg_catalog.array_to_string(pg_catalog.replace(
  substring(pg_catalog.pg_get_indexdef(x.oid, 1, false) FROM '#>> E?''({.*})'''::text), ''''''::text, ''''::text)::text[], '.'::text),
 coalesce('header '::text || nullif(substring(pg_catalog.pg_get_indexdef(x.oid, 1, false) FROM '->> ''(.*)''::text'::text), 'x-pgmq-group'::text), 'header'::text)),
 pg_catalog.count(*) FILTER (WHERE i.indisvalid)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq'::name AND c.relname::text LIKE 'q\_%'::text AND x.relname::text ~ '^mq_(group|lease|due)_'::text
GROUP BY 1, 2 ORDER BY 1, 2

-- meta
SELECT m.queue_name::text, pg_catalog.quote_literal(m.queue_name::text), c.oid IS NOT NULL,
 coalesce((SELECT p.relname::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
  WHERE i.inhrelid = c.oid AND c.relispartition), ''::text)
FROM pgmq.meta m CROSS JOIN pg_catalog.pg_namespace n
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname::text = 'q_'::text || pg_catalog.lower(m.queue_name::text)
WHERE n.nspname = 'pgmq'::name ORDER BY 1

-- throttle
SELECT pg_catalog.lower(queue_name::text), throttle_interval_ms FROM pgmq.notify_insert_throttle

-- session
SELECT pg_catalog.pg_backend_pid()

-- waits
SELECT b.pid, coalesce(CASE WHEN b.application_name <> ''::text THEN b.application_name END, b.usename::text, '?'::text), coalesce(b.state, '?'::text),
 coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - b.xact_start)::float8, '0'::float8)
FROM pg_catalog.pg_stat_activity w CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS p(pid)
JOIN pg_catalog.pg_stat_activity b ON b.pid = p.pid
WHERE w.datname = pg_catalog.current_database() AND w.usename = current_user AND w.pid <> pg_catalog.pg_backend_pid()
 AND w.application_name = pg_catalog.current_setting('application_name'::text) AND w.wait_event_type = 'Lock'::text
ORDER BY b.xact_start LIMIT 1

-- limits
SELECT pg_catalog.set_config('lock_timeout'::text, '2s'::text, true), pg_catalog.set_config('statement_timeout'::text, '10s'::text, true)

-- in the way
SELECT b.pid, coalesce(CASE WHEN b.application_name <> ''::text THEN b.application_name END, b.usename::text, '?'::text), coalesce(b.state, '?'::text),
 coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - b.xact_start)::float8, '0'::float8)
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_stat_activity b ON b.pid = l.pid
LEFT JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid::regclass)::oid
WHERE l.mode = 'AccessExclusiveLock'::text AND l.pid <> pg_catalog.pg_backend_pid() AND b.datname = pg_catalog.current_database()
 AND n.nspname IN ('pgmq'::name, 'pg_catalog'::name)
 AND ($1::text = ''::text OR coalesce(r.relname, c.relname)::text = ANY (pg_catalog.string_to_array($1::text, E'\n'::text)))
ORDER BY l.granted DESC, b.xact_start LIMIT 1
