-- What mq doctor asks PostgreSQL, a statement after each name.

-- server
SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(),
 current_setting('autovacuum')::bool AND current_setting('track_counts')::bool,
 (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), current_setting('max_connections')::int,
 coalesce((SELECT extversion FROM pg_extension WHERE extname = 'pgmq'), ''),
 to_regprocedure('pgmq.create(text)') IS NOT NULL, to_regnamespace('pgmq') IS NOT NULL,
 to_regclass('pgmq.meta') IS NOT NULL AND coalesce(has_table_privilege(to_regclass('pgmq.meta'), 'SELECT'), false),
 to_regclass('pgmq.notify_insert_throttle') IS NOT NULL,
 coalesce(has_table_privilege(to_regclass('pgmq.notify_insert_throttle'), 'SELECT'), false)

-- oldest
SELECT what, extract(epoch FROM since)::float8 FROM (
 SELECT format('session %s of %s (%s)', pid, coalesce(nullif(application_name, ''), usename, '?'), state), now() - xact_start
 FROM pg_stat_activity WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND xact_start IS NOT NULL
 AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
 UNION ALL SELECT format('prepared transaction %s', gid), now() - prepared FROM pg_prepared_xacts
) AS t(what, since) ORDER BY since DESC LIMIT 1

-- slots
SELECT slot_name::text, greatest(age(xmin), age(catalog_xmin)) FROM pg_replication_slots
WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL)

-- queues
SELECT substr(c.relname, 3), c.relkind = 'p', c.relpersistence = 'u', a.oid IS NOT NULL,
 EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'headers' AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'last_read_at' AND NOT t.attisdropped),
 EXISTS (SELECT FROM pg_index i JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid AND t.attname = 'vt'),
 coalesce((SELECT string_agg(x.relname, ', ') FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND NOT i.indisvalid), ''),
 EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND x.relname LIKE 'mq\_group\_%'),
 coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), coalesce(extract(epoch FROM now() - greatest(s.last_autovacuum, s.last_vacuum))::float8, -1),
 coalesce(array_to_string(c.reloptions, ',') LIKE '%autovacuum_enabled=false%', false),
 coalesce(array_to_string(c.reloptions, ',') LIKE '%autovacuum_vacuum_scale_factor%', false),
 EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'trigger_notify_queue_insert_listeners' AND g.tgenabled <> 'D'),
 EXISTS (SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE g.tgrelid = c.oid AND p.proname = 'mq_notify_insert'),
 coalesce((SELECT string_agg(p, ', ' ORDER BY o) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS u(p, o) WHERE NOT has_table_privilege(c.oid, p)), ''),
 coalesce((SELECT string_agg(p, ', ' ORDER BY o) FROM unnest(ARRAY['SELECT', 'INSERT']) WITH ORDINALITY AS u(p, o) WHERE NOT has_table_privilege(a.oid, p)), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class a ON a.relnamespace = n.oid AND a.relname = 'a_' || substr(c.relname, 3)
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE n.nspname = 'pgmq' AND c.relname LIKE 'q\_%' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1

-- meta
SELECT queue_name::text, to_regclass(format('%I.%I', 'pgmq', 'q_' || lower(queue_name))) IS NOT NULL FROM pgmq.meta ORDER BY 1

-- throttle
SELECT lower(queue_name), throttle_interval_ms FROM pgmq.notify_insert_throttle
