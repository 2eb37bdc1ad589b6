-- What mq doctor asks PostgreSQL, a statement after each name. Functions are named with their schema, and operators have
-- the types that pg_catalog has them for: an administrator runs this, in databases where others may make functions.

-- server
SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num')::int, pg_catalog.pg_is_in_recovery(), pg_catalog.quote_ident(current_user),
 pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
 pg_catalog.current_setting('autovacuum')::bool AND pg_catalog.current_setting('track_counts')::bool,
 (SELECT pg_catalog.sum(numbackends)::int FROM pg_stat_database), pg_catalog.current_setting('max_connections')::int,
 coalesce((SELECT extversion FROM pg_extension WHERE extname = 'pgmq'), ''),
 pg_catalog.to_regnamespace('pgmq') IS NOT NULL, usage,
 CASE WHEN usage THEN pg_catalog.to_regprocedure('pgmq.create(text)') IS NOT NULL ELSE false END,
 CASE WHEN usage THEN pg_catalog.to_regclass('pgmq.meta') IS NOT NULL ELSE false END,
 CASE WHEN usage THEN coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgmq.meta'), 'SELECT'), false) ELSE false END,
 CASE WHEN usage THEN pg_catalog.to_regclass('pgmq.notify_insert_throttle') IS NOT NULL ELSE false END,
 CASE WHEN usage THEN coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgmq.notify_insert_throttle'), 'SELECT'), false) ELSE false END
FROM (SELECT coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('pgmq'), 'USAGE'), false)) AS u(usage)

-- oldest
SELECT what, extract(epoch FROM since)::float8 FROM (
 SELECT pg_catalog.format('session %s of %s (%s)', pid, coalesce(nullif(application_name, ''), usename, '?'), state), pg_catalog.now() - xact_start
 FROM pg_stat_activity WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND xact_start IS NOT NULL
 AND pid <> pg_catalog.pg_backend_pid() AND backend_type <> 'autovacuum worker' AND datname = pg_catalog.current_database()
 UNION ALL SELECT pg_catalog.format('prepared transaction %s', gid), pg_catalog.now() - prepared FROM pg_prepared_xacts WHERE database = pg_catalog.current_database()
) AS t(what, since) ORDER BY since DESC LIMIT 1

-- slots
SELECT slot_name::text, greatest(pg_catalog.age(xmin), pg_catalog.age(catalog_xmin)) FROM pg_replication_slots
WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AND coalesce(database, pg_catalog.current_database()) = pg_catalog.current_database()

-- queues
SELECT pg_catalog.substr(c.relname::text, 3), pg_catalog.format('%I.%I', n.nspname, c.relname), CASE WHEN a.oid IS NULL THEN '' ELSE pg_catalog.format('%I.%I', n.nspname, a.relname) END,
 c.relkind = 'p', c.relpersistence = 'u',
 EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'headers' AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'last_read_at' AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_index i JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND t.attname = 'vt'),
 coalesce((SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, x.relname), ', ') FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
  WHERE i.indrelid = c.oid AND NOT i.indisvalid AND x.relname::text !~ '^mq_(group|lease)_'::text), ''),
 coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), coalesce(extract(epoch FROM pg_catalog.now() - greatest(s.last_autovacuum, s.last_vacuum))::float8, -1),
 EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) WHERE option_name = 'autovacuum_enabled' AND NOT option_value::bool),
 EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) WHERE option_name = 'autovacuum_vacuum_scale_factor'),
 EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'trigger_notify_queue_insert_listeners' AND g.tgenabled IN ('O', 'A')),
 EXISTS (SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE g.tgrelid = c.oid AND p.proname = 'mq_notify_insert'),
 coalesce((SELECT pg_catalog.string_agg(p, ', ' ORDER BY o) FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS u(p, o) WHERE NOT pg_catalog.has_table_privilege(c.oid, p)), ''),
 coalesce((SELECT pg_catalog.string_agg(p, ', ' ORDER BY o) FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT']) WITH ORDINALITY AS u(p, o) WHERE NOT pg_catalog.has_table_privilege(a.oid, p)), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class a ON a.relnamespace = n.oid AND a.relname = 'a_'::text || pg_catalog.substr(c.relname::text, 3) AND a.relkind IN ('r', 'p')
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE n.nspname = 'pgmq' AND c.relname::text LIKE 'q\_%'::text AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1

-- groupings
SELECT pg_catalog.substr(c.relname::text, 3), coalesce(pg_catalog.array_to_string(pg_catalog.replace(substring(pg_catalog.pg_get_indexdef(x.oid, 1, false) FROM '#>> E?''({.*})'''), '''''', '''')::text[], '.'), 'header'),
 pg_catalog.count(*) FILTER (WHERE i.indisvalid)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq' AND c.relname::text LIKE 'q\_%'::text AND x.relname::text ~ '^mq_(group|lease)_'::text
GROUP BY 1, 2 ORDER BY 1, 2

-- meta
SELECT queue_name::text, pg_catalog.quote_literal(queue_name::text), pg_catalog.to_regclass(pg_catalog.format('%I.%I', 'pgmq', 'q_'::text || pg_catalog.lower(queue_name::text))) IS NOT NULL FROM pgmq.meta ORDER BY 1

-- throttle
SELECT pg_catalog.lower(queue_name::text), throttle_interval_ms FROM pgmq.notify_insert_throttle
