{{- /*
Keys of messages: DedupKey. A key is held by a row of pgmq.mq_keys until a time, or, if
that is NULL, while its message is in the queue. A row says which transaction wrote it,
so that a statement whose snapshot is older than that sees that the key is held, though
it does not see the message. Queues go by their oids: one that is dropped and created
again holds no keys.
*/ -}}
{{define "make keys"}}
CREATE TABLE IF NOT EXISTS pgmq.mq_keys (
  queue oid NOT NULL,
  key text COLLATE "C" NOT NULL,
  msg_id bigint NOT NULL,
  until timestamptz,
  taken_by xid8 NOT NULL,
  PRIMARY KEY (queue, key)
)
{{end}}
{{define "oid"}}{{.QName}}::regclass::oid{{end}}

{{- /* Whether the key of row m is held. A scalar subquery is never hashed, as one of
EXISTS may be: the whole queue would be. */ -}}
{{define "held"}}
(
  NOT pg_catalog.pg_visible_in_snapshot(m.taken_by, pg_catalog.pg_current_snapshot())
  OR CASE
    WHEN m.until IS NULL THEN (SELECT true FROM {{.Q}} x WHERE x.msg_id = m.msg_id) IS NOT NULL
    ELSE m.until > pg_catalog.statement_timestamp()
  END
)
{{- end}}

{{- /* Stores those messages of a batch whose keys are free, as "insert" does: keys, no two
of which are equal, and
how long they are held, in microseconds or -1, are the last two arrays. It returns, for
each message, its place in the batch, the id of the message that holds its key, or its
own, and whether that is another one. The id is NULL if another transaction is taking
the key: then the statement is to be run again, for what is left. Keys are taken in
their order, so that no two statements wait for each other. */ -}}
{{define "insert unique"}}
WITH n AS MATERIALIZED (
  SELECT
    {{- if .Notifies}} pg_catalog.pg_notify({{template "channel" .}}, ''::text)
    {{- else}} {{template "channel" .}}{{end}}
),
t AS MATERIALIZED (
  SELECT *
  {{- if .Headers}}
  FROM unnest($1::bigint[], $2::text[], $3::text[], $5::text[], $6::bigint[])
    WITH ORDINALITY AS t(d, b, h, k, f, o)
  {{- else}}
  FROM unnest($1::bigint[], $2::text[], $4::text[], $5::bigint[]) WITH ORDINALITY AS t(d, b, k, f, o)
  {{- end}}
),
held AS MATERIALIZED (
  SELECT m.key AS k, m.msg_id
  FROM pgmq.mq_keys m
  WHERE m.queue = {{template "oid" .}}
    AND m.key = ANY(ARRAY(SELECT k FROM t))
    AND {{template "held" .}}
),
free AS MATERIALIZED (
  SELECT k, o
  FROM t
  WHERE k IS NOT NULL AND NOT EXISTS (SELECT FROM held WHERE held.k = t.k)
  ORDER BY k COLLATE "C"
),

{{- /* Outside of a caller's transaction nobody waits here for a transaction that has
taken a key: the other messages would wait as well. A batch of many keys does, since
locks are in memory that all sessions share. */}}
taking AS MATERIALIZED (
  SELECT k, o
  FROM free
  {{- if .ManyKeys}}
  {{- else if .Waits}}
  WHERE pg_catalog.pg_advisory_xact_lock({{template "lock of key" .}})::text IS NOT NULL
  {{- else}}
  WHERE pg_catalog.pg_try_advisory_xact_lock({{template "lock of key" .}})
  {{- end}}
),
ids AS MATERIALIZED (
  SELECT o, pg_catalog.nextval((SELECT s FROM {{template "sequence" .}})) AS id
  FROM (
    SELECT o FROM t WHERE k IS NULL
    UNION ALL
    SELECT o FROM taking
    ORDER BY o
  ) s
),
taken AS (
  INSERT INTO pgmq.mq_keys AS m (queue, key, msg_id, until, taken_by)
  SELECT
    {{template "oid" .}},
    taking.k,
    ids.id,
    CASE WHEN t.f >= 0::bigint THEN pg_catalog.statement_timestamp() + {{template "micros" "t.f"}} END,
    pg_catalog.pg_current_xact_id()
  FROM taking
  JOIN ids ON ids.o = taking.o
  JOIN t ON t.o = taking.o
  ORDER BY taking.k COLLATE "C"
  ON CONFLICT (queue, key) DO UPDATE
  SET msg_id = excluded.msg_id, until = excluded.until, taken_by = excluded.taken_by
  WHERE NOT {{template "held" .}}
  RETURNING m.msg_id
),
i AS (
  INSERT INTO {{.Q}} (msg_id, vt, message{{if .Headers}}, headers{{end}})
  OVERRIDING SYSTEM VALUE
  SELECT
    ids.id,
    pg_catalog.statement_timestamp() + {{template "micros" "(coalesce(t.d, 0) + t.o - 1)"}},
    t.b::jsonb{{if .Headers}},
    t.h::jsonb{{end}}
  FROM ids
  JOIN t ON t.o = ids.o
  WHERE t.k IS NULL OR EXISTS (SELECT FROM taken WHERE taken.msg_id = ids.id)
  ORDER BY t.o
  RETURNING msg_id
)
SELECT t.o, coalesce(held.msg_id, i.msg_id), held.msg_id IS NOT NULL
FROM t
CROSS JOIN n
LEFT JOIN held ON held.k = t.k
LEFT JOIN ids ON ids.o = t.o
LEFT JOIN i ON i.msg_id = ids.id
{{end}}
{{define "channel"}}{{if .Headers}}$4{{else}}$3{{end}}::text{{end}}
{{define "lock of key"}}
  {{- ""}}pg_catalog.hashtextextended(k, {{template "oid" .}}::bigint)
{{- end}}

{{- /* Forgets those of $1 keys that are free, from the place $2 on: the first of all may be
held for long. */ -}}
{{define "forget keys"}}
DELETE FROM pgmq.mq_keys
WHERE ctid = ANY(ARRAY(
  SELECT ctid
  FROM (
    SELECT *, ctid
    FROM pgmq.mq_keys
    WHERE queue = {{template "oid" .}} AND key >= $2::text COLLATE "C"
    ORDER BY key
    LIMIT $1::int
    FOR UPDATE SKIP LOCKED
  ) m
  WHERE NOT {{template "held" .}}
))
{{end}}

{{- /* Forgets the keys of queues that were dropped. */ -}}
{{define "forget dropped keys"}}
DELETE FROM pgmq.mq_keys
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = mq_keys.queue)
{{end}}
