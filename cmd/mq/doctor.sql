-- What mq doctor asks PostgreSQL, a statement after each name.

-- server
SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(), quote_ident(current_user),
 pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
 current_setting('autovacuum')::bool AND current_setting('track_counts')::bool,
 (SELECT sum(numbackends)::int FROM pg_stat_database), current_setting('max_connections')::int,
 coalesce((SELECT extversion FROM pg_extension WHERE extname = 'pgmq'), ''),
 to_regnamespace('pgmq') IS NOT NULL, usage,
 CASE WHEN usage THEN to_regprocedure('pgmq.create(text)') IS NOT NULL ELSE false END,
 CASE WHEN usage THEN to_regclass('pgmq.meta') IS NOT NULL ELSE false END,
 CASE WHEN usage THEN coalesce(has_table_privilege(to_regclass('pgmq.meta'), 'SELECT'), false) ELSE false END,
 CASE WHEN usage THEN to_regclass('pgmq.notify_insert_throttle') IS NOT NULL ELSE false END,
 CASE WHEN usage THEN coalesce(has_table_privilege(to_regclass('pgmq.notify_insert_throttle'), 'SELECT'), false) ELSE false END
FROM (SELECT coalesce(has_schema_privilege(to_regnamespace('pgmq'), 'USAGE'), false)) AS u(usage)

-- oldest
SELECT what, extract(epoch FROM since)::float8 FROM (
 SELECT format('session %s of %s (%s)', pid, coalesce(nullif(application_name, ''), usename, '?'), state), now() - xact_start
 FROM pg_stat_activity WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND xact_start IS NOT NULL
 AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' AND datname = current_database()
 UNION ALL SELECT format('prepared transaction %s', gid), now() - prepared FROM pg_prepared_xacts WHERE database = current_database()
) AS t(what, since) ORDER BY since DESC LIMIT 1

-- slots
SELECT slot_name::text, greatest(age(xmin), age(catalog_xmin)) FROM pg_replication_slots
WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AND coalesce(database, current_database()) = current_database()

-- queues
SELECT substr(c.relname, 3), format('%I.%I', n.nspname, c.relname), CASE WHEN a.oid IS NULL THEN '' ELSE format('%I.%I', n.nspname, a.relname) END,
 c.relkind = 'p', c.relpersistence = 'u',
 EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'headers' AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'last_read_at' AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_index i JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND t.attname = 'vt'),
 coalesce((SELECT string_agg(format('%I.%I', n.nspname, x.relname), ', ') FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
  WHERE i.indrelid = c.oid AND NOT i.indisvalid AND x.relname !~ '^mq_(group|lease)_'), ''),
 coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), coalesce(extract(epoch FROM now() - greatest(s.last_autovacuum, s.last_vacuum))::float8, -1),
 EXISTS (SELECT FROM pg_options_to_table(c.reloptions) WHERE option_name = 'autovacuum_enabled' AND NOT option_value::bool),
 EXISTS (SELECT FROM pg_options_to_table(c.reloptions) WHERE option_name = 'autovacuum_vacuum_scale_factor'),
 EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'trigger_notify_queue_insert_listeners' AND g.tgenabled IN ('O', 'A')),
 EXISTS (SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE g.tgrelid = c.oid AND p.proname = 'mq_notify_insert'),
 coalesce((SELECT string_agg(p, ', ' ORDER BY o) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS u(p, o) WHERE NOT has_table_privilege(c.oid, p)), ''),
 coalesce((SELECT string_agg(p, ', ' ORDER BY o) FROM unnest(ARRAY['SELECT', 'INSERT']) WITH ORDINALITY AS u(p, o) WHERE NOT has_table_privilege(a.oid, p)), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class a ON a.relnamespace = n.oid AND a.relname = 'a_' || substr(c.relname, 3) AND a.relkind IN ('r', 'p')
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE n.nspname = 'pgmq' AND c.relname LIKE 'q\_%' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1

-- groupings
SELECT substr(c.relname, 3), coalesce(array_to_string(replace(substring(pg_get_indexdef(x.oid, 1, false) FROM '#>> E?''({.*})'''), '''''', '''')::text[], '.'), 'header'),
 count(*) FILTER (WHERE i.indisvalid)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgmq' AND c.relname LIKE 'q\_%' AND x.relname ~ '^mq_(group|lease)_'
GROUP BY 1, 2 ORDER BY 1, 2

-- meta
SELECT queue_name::text, quote_literal(queue_name), to_regclass(format('%I.%I', 'pgmq', 'q_' || lower(queue_name))) IS NOT NULL FROM pgmq.meta ORDER BY 1

-- throttle
SELECT lower(queue_name), throttle_interval_ms FROM pgmq.notify_insert_throttle
