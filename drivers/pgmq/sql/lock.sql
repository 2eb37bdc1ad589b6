{{- /* The lock that PGMQ takes, too, to create and drop a queue. */ -}}
{{define "lock queue"}}
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('pgmq.queue_'::text || $1::text))
{{end}}
{{define "lock install"}}
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('pgmq.mq_install'::text))
{{end}}
{{define "try lock indexes"}}
SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('pgmq.mq_indexes_'::text || $1::text))
{{end}}

{{define "lock timeout"}}SET LOCAL lock_timeout = '1s'{{end}}
{{define "lock timeout of install"}}SET LOCAL lock_timeout = '10s'{{end}}

{{- /* A transaction keeps the snapshot of its last statement until the next one, and
a session that creates an index concurrently waits for it. */ -}}
{{define "drop snapshot"}}SET LOCAL mq.turn = 'indexes'{{end}}

{{- /* The session that has longest held a lock of the queue $1 for which DDL
waits. */ -}}
{{define "holders"}}
SELECT {{template "session"}}
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_stat_activity b ON b.pid = l.pid
WHERE l.granted
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND b.datname = pg_catalog.current_database()
  AND (
    l.locktype = 'relation'::text
      AND l.relation IN (
        SELECT c.oid
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'pgmq'::name
          AND c.relname::text IN (
            'q_'::text || $1::text, 'a_'::text || $1::text, 'meta', 'notify_insert_throttle'
          )
      )
    OR l.locktype = 'advisory'::text
      AND l.objid::bigint IN (
        SELECT pg_catalog.hashtext(k)::bigint & 4294967295
        FROM pg_catalog.unnest(ARRAY['pgmq.queue_'::text || $1::text, 'pgmq.mq_install'::text]) AS k
      )
  )
ORDER BY b.xact_start
LIMIT 1
{{end}}

{{- /* The session that has longest held a lock of the queues $1 for which statements
wait that change rows. */ -}}
{{define "lockers"}}
SELECT {{template "session"}}
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_stat_activity b ON b.pid = l.pid
WHERE l.granted
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND b.datname = pg_catalog.current_database()
  AND l.locktype = 'relation'::text
  AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
  AND l.relation IN (
    SELECT c.oid
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pgmq'::name AND c.relname::text IN (
      SELECT kind || name
      FROM pg_catalog.unnest($1::text[]) AS u(name)
      CROSS JOIN (VALUES ('q_'::text), ('a_'::text)) AS t(kind)
    )
  )
ORDER BY b.xact_start
LIMIT 1
{{end}}

{{- /* The session that has longest blocked the statement $1, which runs now. */ -}}
{{define "blockers"}}
SELECT {{template "session"}}
FROM pg_catalog.pg_stat_activity w
CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS u(pid)
JOIN pg_catalog.pg_stat_activity b ON b.pid = u.pid
WHERE {{template "w runs $1"}}
ORDER BY b.xact_start
LIMIT 1
{{end}}

{{- /* The session that creates or drops an index of the queue $1 while that is in
use, or waits to, or else the one whose turn it is. Builds and drops hold this lock of
the table until they end, as VACUUM does. Autovacuum is left out: it gives way, and
has no user. */ -}}
{{define "indexer"}}
SELECT {{template "session"}}
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_stat_activity b ON b.pid = l.pid
WHERE l.pid <> pg_catalog.pg_backend_pid()
  AND b.datname = pg_catalog.current_database()
  AND b.usesysid IS NOT NULL
  AND (
    l.locktype = 'relation'::text
      AND l.mode = 'ShareUpdateExclusiveLock'::text
      AND l.relation IN (
        SELECT c.oid
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'pgmq'::name AND c.relname::text = 'q_'::text || $1::text
      )
    OR l.locktype = 'advisory'::text
      AND l.objid::bigint = pg_catalog.hashtext('pgmq.mq_indexes_'::text || $1::text)::bigint & 4294967295
  )
ORDER BY l.locktype DESC, l.granted DESC, b.xact_start
LIMIT 1
{{end}}

{{- /* How an error describes the session b. */ -}}
{{define "session"}}
  b.pid,
  coalesce(b.application_name, ''::text),
  coalesce(b.state, ''::text),
  coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - b.xact_start)::float8, 0::float8)
{{- end}}

{{- /* Cancels the statement $1. */ -}}
{{define "cancel"}}
SELECT pg_catalog.pg_cancel_backend(w.pid)
FROM pg_catalog.pg_stat_activity w
WHERE {{template "w runs $1"}} AND w.usename = current_user
{{end}}
{{define "w runs $1"}}
  {{- ""}}w.datname = pg_catalog.current_database()
  AND w.pid <> pg_catalog.pg_backend_pid()
  AND w.state = 'active'::text
  AND pg_catalog."left"(w.query, 200) = pg_catalog."left"($1::text, 200)
{{- end}}
