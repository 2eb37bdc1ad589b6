{{- /* The CTEs l and m compare the receipts in s (id, reads, sent, i) with the
queue. */ -}}
{{define "fence"}}
  {{- /* The rows, locked. The fence is compared with the row as it was locked, not
  as the statement first saw it: an extension that commits meanwhile changes
  nothing, a new lease does. Only in a caller's transaction, whose other
  statements depend on the result, does it wait for rows that are locked. */ -}}
l AS MATERIALIZED (
  SELECT msg_id, read_ct, enqueued_at, vt
  FROM {{.Q}}
  WHERE msg_id = ANY($1::bigint[])
  ORDER BY msg_id
  FOR UPDATE{{if not .Waits}} SKIP LOCKED{{end}}
),
{{/* For each receipt: whether the message is gone (NULL if another transaction has
locked it), whether the lease is still this one (ok), and whether its time is not
over (alive). NOT EXISTS could become a hash of the whole queue. */ -}}
m AS MATERIALIZED (
  SELECT
    s.*,
    {{if .Waits}}l.msg_id IS NULL{{else}}CASE
      WHEN l.msg_id IS NOT NULL THEN false
      WHEN (SELECT x.msg_id FROM {{.Q}} x WHERE x.msg_id = s.id LIMIT 1) IS NULL THEN true
    END{{end}} AS gone,
    l.msg_id IS NOT NULL
      AND (s.reads IS NULL OR l.read_ct = s.reads)
      AND (s.sent IS NULL OR l.enqueued_at = {{template "time" "s.sent"}}) AS ok,
    s.reads IS NULL OR l.vt > pg_catalog.clock_timestamp() AS alive
  FROM s
  LEFT JOIN l ON l.msg_id = s.id
)
{{- end}}

{{- /* The receipts of $1 ids, $2 read counts and $3 times of sending, with their
places in the batch. What failed is returned by its place. */ -}}
{{define "receipts"}}
  {{- ""}}s AS MATERIALIZED (
  SELECT *
  FROM unnest($1::bigint[], $2::int[], $3::bigint[]) WITH ORDINALITY AS t(id, reads, sent, i)
)
{{- end}}

{{- /* Acks one message. */ -}}
{{define "ack one"}}
DELETE FROM {{.Q}}
WHERE msg_id = ANY(ARRAY(
  SELECT msg_id
  FROM {{.Q}}
  WHERE msg_id = $1::bigint AND read_ct = $2::int AND enqueued_at = {{template "time" "$3::bigint"}}
  FOR UPDATE SKIP LOCKED
))
RETURNING msg_id
{{end}}

{{- /* Acks a batch. */ -}}
{{define "ack"}}
WITH {{template "receipts"}},
{{template "fence" .}},
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok)))
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{- /* Makes the leases end $4 microseconds from now. */ -}}
{{define "extend"}}
WITH {{template "receipts"}},
{{template "fence" .}},
n AS (
  UPDATE {{.Q}}
  SET vt = pg_catalog.clock_timestamp() + {{template "micros" "$4::bigint"}}
  WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND alive))
)
SELECT i, gone FROM m WHERE NOT (ok AND alive)
{{end}}

{{- /* Acks, nacks and archives in one statement. The operations, $4, have the
numbers of driver.Op; $5 are delays in microseconds, $6 reasons, $7 says which nacks do
not count. Without .Kept nothing is archived. With .Revokes a nack is no answer of a
receiver: it notes nothing, and makes receipts stale by another time of sending, since the
read count has to count reads. */ -}}
{{define "settle"}}
WITH s AS MATERIALIZED (
  SELECT *
  FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::int[], $5::bigint[], $6::text[], $7::boolean[])
    WITH ORDINALITY AS t(id, reads, sent, op, delay, reason, uncounted, i)
),
{{template "fence" .}},
{{/* The nacks, by id. */ -}}
j AS MATERIALIZED (
  SELECT pg_catalog.jsonb_object_agg(id, pg_catalog.jsonb_build_array(delay, reason, uncounted)) AS nacks
  FROM m
  WHERE ok AND op = 2
),
{{/* The acks. */ -}}
d AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 1))),
{{/* The nacks. They forget last_read_at, so that a message that waits for its
delay can be told from one that is leased. */ -}}
n AS (
  UPDATE {{.Q}} x
  SET
    vt = pg_catalog.clock_timestamp()
      + {{template "micros" "((SELECT nacks FROM j) -> x.msg_id::text ->> 0)"}}
    {{- if .LastReadAt}},
    last_read_at = NULL{{end}}{{if .Revokes}},
    enqueued_at = x.enqueued_at
      + CASE WHEN x.read_ct > 0 THEN interval '1 microsecond' ELSE interval '0' END
    {{- else if .Headers}},
    headers = {{template "nacked"}}{{end}}
  WHERE x.msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 2))
){{if .Kept}},
{{/* What is to be archived. */ -}}
x AS (DELETE FROM {{.Q}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 3)) RETURNING *),
{{if .UniqueArchive}}{{/* The ids that the archive already has. */ -}}
taken AS MATERIALIZED (
  SELECT msg_id FROM {{.A}} WHERE msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok AND op = 3))
),
{{end}}a AS (
  INSERT INTO {{.A}} ({{range $i, $c := .Kept}}{{if $i}}, {{end}}{{$c}}{{end}})
  SELECT
    {{range $i, $c := .Kept}}{{if $i}},
    {{end}}
    {{- if eq $c "headers"}}{{template "reasoned" $}}
    {{- else if eq $c "msg_id"}}{{template "archived id" $}}
    {{- else}}x.{{$c}}{{end}}{{end}}
  FROM x
  JOIN m ON m.id = x.msg_id AND m.ok
){{end}}
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{- /* The headers of a nacked message: at which read it was nacked, why, how many of
its leases were no attempts, and, after one that was none, how many attempts before it
were not answered. A nack that is repeated, while its receipt still acts, finds the
read noted and counts nothing twice. Headers that are not an object have no room and
stay as they are. */ -}}
{{define "nacked"}}CASE
      WHEN NOT {{template "has room"}}
      THEN x.headers
      ELSE {{template "object"}}
        - CASE WHEN {{template "is noted"}} THEN '{}'::text[] ELSE ARRAY['mq-unanswered']::text[] END
        || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
          'mq-answered'::text, x.read_ct,
          'mq-error'::text, (SELECT nacks FROM j) -> x.msg_id::text ->> 1
        ))
        || CASE
          WHEN {{template "is noted"}} OR (SELECT nacks FROM j) -> x.msg_id::text ->> 2 <> 'true'::text
          THEN '{}'::jsonb
          ELSE pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'mq-uncounted'::text, {{template "noted" "mq-uncounted"}} + 1,
            'mq-unanswered'::text, nullif(
              {{template "noted" "mq-unanswered"}}
                + greatest(x.read_ct - 1 - {{template "noted" "mq-answered"}}, 0),
              0
            )
          ))
        END
    END
{{- end}}
{{define "is noted"}}x.headers ->> 'mq-answered'::text IS NOT DISTINCT FROM x.read_ct::text{{end}}

{{- /* A number that an earlier nack has noted, 0 if there is none. Notes of a later
read than this one belong to a message whose headers were copied. */ -}}
{{define "noted"}}CASE
            WHEN {{template "note" "mq-answered"}} > x.read_ct THEN 0
            ELSE {{template "note" .}}
          END
{{- end}}
{{define "note"}}CASE
            WHEN (x.headers -> '{{.}}'::text)::text ~ '^[0-9]{1,9}$'::text
            THEN (x.headers -> '{{.}}'::text)::text::int
            ELSE 0
          END
{{- end}}

{{- /* The headers of nacks, which a new message does not take over. */ -}}
{{define "of nacks"}}ARRAY['mq-answered', 'mq-error', 'mq-unanswered', 'mq-uncounted']::text[]{{end}}

{{- /* Ids can repeat: after a TRUNCATE with RESTART IDENTITY, a crash that
emptied an unlogged queue, or a sequence that was set back. The archive keeps both
messages, the later one under an id above all that a queue hands out (2^52), and
below what JSON has room for. The id is drawn at random, so that no statement
waits for another transaction's. */ -}}
{{define "archived id"}}
  {{- if .UniqueArchive}}CASE
      WHEN x.msg_id IN (SELECT msg_id FROM taken)
      THEN {{template "drawn ids"}} + (pg_catalog.random() * 4503599627370495::float8)::bigint
      ELSE x.msg_id
    END
  {{- else}}x.msg_id{{end}}
{{- end}}
{{define "drawn ids"}}4503599627370496::bigint{{end}}

{{- /* The headers of an archived message, with its reason. Headers that are not an
object, as only other programs write them, have no room for it: they are put into
an object, beside the reason. Without a reason they stay as they are. */ -}}
{{define "reasoned"}}CASE
      WHEN m.reason IS NULL THEN x.headers
      WHEN {{template "has room"}}
      THEN {{template "object"}} || pg_catalog.jsonb_build_object('mq-reason'::text, m.reason)
      ELSE pg_catalog.jsonb_build_object('mq-headers'::text, x.headers, 'mq-reason'::text, m.reason)
    END
{{- end}}
{{define "has room"}}coalesce(pg_catalog.jsonb_typeof(x.headers), 'object'::text) = 'object'::text{{end}}
{{define "object"}}coalesce(x.headers, '{}'::jsonb){{end}}

{{- /* Moves messages to the queue .To: $4 reasons, $5 the origin up to the id. */ -}}
{{define "move"}}
WITH s AS MATERIALIZED (
  SELECT *
  FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[])
    WITH ORDINALITY AS t(id, reads, sent, reason, i)
),
{{template "fence" .}},
x AS (
  DELETE FROM {{.Q}} q
  WHERE q.msg_id = ANY(ARRAY(SELECT id FROM m WHERE ok))
  RETURNING q.msg_id, q.message, {{template "headers" .}} AS headers
),
i AS (
  INSERT INTO {{.To}} (vt, message, headers)
  SELECT
    {{template "in order"}},
    x.message,
    CASE
      WHEN {{template "has room"}}
      THEN {{template "object"}} - 'mq-reason'::text - {{template "of nacks"}}
        || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
          'mq-origin'::text, $5::text || x.msg_id::text, 'mq-reason'::text, m.reason
        ))
      ELSE x.headers
    END
  FROM x
  JOIN m ON m.id = x.msg_id AND m.ok
  ORDER BY x.msg_id
)
SELECT i, gone FROM m WHERE NOT ok
{{end}}

{{- /* The vt of messages that are inserted in the order of x.msg_id. */ -}}
{{define "in order"}}
  {{- ""}}pg_catalog.statement_timestamp()
      + {{template "micros" "(pg_catalog.row_number() OVER (ORDER BY x.msg_id) - 1)"}}
{{- end}}

{{- /* Makes a transaction unable to commit. */ -}}
{{define "abort"}}SELECT 1 / (SELECT 0){{end}}
