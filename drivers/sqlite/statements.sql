-- Every statement of the driver, behind its name. Lists of ids come as JSON arrays.

-- name: lock
-- Makes a transaction that has read nothing the writer, as BEGIN IMMEDIATE does.
UPDATE mq_schema SET version = version WHERE false

-- name: file
SELECT file FROM pragma_database_list WHERE name = 'main'

-- name: version
SELECT version FROM mq_schema

-- name: tables
SELECT count(*) FROM sqlite_schema WHERE name = 'mq_schema'

-- name: queue
SELECT id, mark, groupings FROM mq_queue WHERE name = ?1

-- name: create
INSERT INTO mq_queue (name, mark) VALUES (?1, ?2) ON CONFLICT DO NOTHING

-- name: list
SELECT name FROM mq_queue WHERE name IS NOT NULL ORDER BY name

-- name: abandon
UPDATE mq_queue SET name = NULL WHERE name = ?1

-- name: abandoned
SELECT id FROM mq_queue WHERE name IS NULL

-- name: forget
DELETE FROM mq_queue WHERE id = ?1

-- name: forget hidden
DELETE FROM mq_hidden WHERE queue = ?1

-- name: forget groupings
DELETE FROM mq_grouping WHERE queue = ?1

-- name: reserve
-- Gives out ?2 numbers, the last of which it returns.
UPDATE mq_queue SET sent = sent + ?2, total = total + ?2, grouped = max(grouped, ?3)
WHERE name = ?1
RETURNING id, mark, groupings, sent

-- name: insert
INSERT INTO mq_message (queue, sent, id, due, lease, reads, uncounted, answered, unanswered, size, grp, headers, body)
VALUES

-- name: insert body
INSERT INTO mq_body (id, body) VALUES (?1, ?2)

-- name: held keys
-- Which of the keys ?2 are held, and by what.
SELECT k.key, k.id
FROM json_each(?2) j
CROSS JOIN mq_key k ON k.queue = ?1 AND k.key = j.value
WHERE iif(k.ends IS NULL, EXISTS (SELECT 1 FROM mq_message WHERE id = k.id), k.ends > ?3)

-- name: hold keys
-- ?2 are arrays of key, id and when the key is free.
INSERT OR REPLACE INTO mq_key (queue, key, id, ends)
SELECT ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?2)

-- name: forget ended
DELETE FROM mq_key
WHERE (queue, key) IN (SELECT queue, key FROM mq_key WHERE ends <= ?1 ORDER BY ends LIMIT ?2)

-- name: forget left
-- Looks at some of the keys that are held while their messages are queued, from a
-- random place on: the oldest may be held for long.
DELETE FROM mq_key
WHERE ends IS NULL
  AND id IN (
    SELECT id
    FROM mq_key
    WHERE ends IS NULL AND id >= ?1 % (SELECT max(id) + 1 FROM mq_key WHERE ends IS NULL)
    ORDER BY id
    LIMIT ?2
  )
  AND NOT EXISTS (SELECT 1 FROM mq_message WHERE id = mq_key.id)

-- name: forget keys
DELETE FROM mq_key WHERE queue = ?1

-- name: bind
INSERT INTO mq_binding (queue, pattern) VALUES (?1, ?2) ON CONFLICT DO NOTHING

-- name: unbind
DELETE FROM mq_binding WHERE queue = (SELECT id FROM mq_queue WHERE name = ?1) AND pattern = ?2

-- name: bindings
SELECT q.name, pattern
FROM mq_binding
JOIN mq_queue q ON q.id = queue
WHERE q.name IS NOT NULL
ORDER BY q.name, pattern

-- name: bindings of
SELECT b.pattern
FROM mq_queue q
LEFT JOIN mq_binding b ON b.queue = q.id
WHERE q.name = ?1
ORDER BY b.pattern

-- name: forget bindings
DELETE FROM mq_binding WHERE queue = ?1

-- name: pause
INSERT INTO mq_pause (queue, since, paused_by) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING

-- name: resume
DELETE FROM mq_pause WHERE queue = ?1

-- name: paused
SELECT q.name, p.paused_by, p.since
FROM mq_pause p
CROSS JOIN mq_queue q ON q.id = p.queue
WHERE q.name IS NOT NULL
ORDER BY q.name

-- name: report
INSERT INTO mq_consumer (id, queue, seen, until, report)
SELECT ?1, id, ?3, ?4, ?5 FROM mq_queue WHERE name = ?2
ON CONFLICT DO UPDATE
SET queue = excluded.queue, seen = excluded.seen, until = excluded.until, report = excluded.report

-- name: forget report
DELETE FROM mq_consumer WHERE id = ?1

-- name: forget expired
DELETE FROM mq_consumer WHERE until <= ?1

-- name: forget reports
DELETE FROM mq_consumer WHERE queue = ?1

-- name: consumers
-- Those of the queue ?1, or of all.
SELECT q.name, c.id, c.seen, c.report
FROM mq_consumer c
CROSS JOIN mq_queue q ON q.id = c.queue
WHERE c.until > ?2 AND q.name IS NOT NULL AND (?1 = '' OR q.name = ?1)

-- name: look
-- Whether there is such a queue, a message can be received, and when the next one can.
SELECT
  EXISTS (SELECT 1 FROM mq_message WHERE queue = q.id AND due <= ?2),
  (SELECT min(due) FROM mq_message WHERE queue = q.id AND due > ?2)
FROM mq_queue q
WHERE name = ?1

-- name: largest
-- The largest body among the candidates of a claim.
SELECT max(size) FROM (SELECT size FROM mq_message WHERE queue = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?3)

-- name: claim
-- The candidates that have been due longest.
UPDATE mq_message SET due = ?3, lease = ?5, reads = reads + 1
WHERE id IN (SELECT id FROM mq_message WHERE queue = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?4)
RETURNING id, reads, uncounted, answered, unanswered, sent, size, grp, headers, body

-- name: claim some
-- As far as their bodies are ?6 bytes; one at least.
UPDATE mq_message SET due = ?3, lease = ?5, reads = reads + 1
WHERE id IN (
  SELECT id
  FROM (
    SELECT id, sum(size) OVER (ORDER BY due, id) - size AS before
    FROM (SELECT id, due, size FROM mq_message WHERE queue = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?4)
  )
  WHERE before < ?6
)
RETURNING id, reads, uncounted, answered, unanswered, sent, size, grp, headers, body

-- name: lease
UPDATE mq_message SET due = ?2, lease = ?3, reads = reads + 1
WHERE id IN (SELECT value FROM json_each(?1))
RETURNING id, reads, uncounted, answered, unanswered, sent, size, grp, headers, body

-- name: body
SELECT body FROM mq_body WHERE id = ?1

-- name: states
SELECT m.id, m.due, m.lease, m.reads, m.uncounted, m.answered, m.unanswered, m.size, m.grp IS NOT NULL
FROM json_each(?1) j
CROSS JOIN mq_message m ON m.id = j.value

-- name: ack
-- Each value has a message's number, 12 bits of its read count and 11 of its lease.
DELETE FROM mq_message
WHERE id IN (
  SELECT m.id
  FROM json_each(?1) j
  CROSS JOIN mq_message m ON m.id = ?2 + (j.value >> 23)
  WHERE m.reads = j.value >> 11 & 0xfff AND m.lease = j.value & 0x7ff AND m.lease <> 0
)
RETURNING id, due, size

-- name: nack
UPDATE mq_message
SET due = ?2, lease = 0, uncounted = ?3, answered = reads, unanswered = ?4,
  headers = iif(?5 = '', headers, json_set(coalesce(headers, '{}'), '$."mq-error"', ?5))
WHERE id = ?1

-- name: release
-- Ends a lease as its timeout does, and a delay.
UPDATE mq_message SET due = ?2, lease = 0 WHERE id = ?1

-- name: extend
UPDATE mq_message SET due = ?2 WHERE id IN (SELECT value FROM json_each(?1))

-- name: delete
DELETE FROM mq_message WHERE id IN (SELECT value FROM json_each(?1))

-- name: delete bodies
DELETE FROM mq_body WHERE id IN (SELECT value FROM json_each(?1))

-- name: archive
INSERT INTO mq_archive (id, queue, archived, due, reads, uncounted, sent, size, grp, headers, body)
SELECT id, queue, ?2, due, reads, uncounted, sent, size, grp,
  iif(?3 = '', headers, json_set(coalesce(headers, '{}'), '$."mq-reason"', ?3)), body
FROM mq_message
WHERE id = ?1

-- name: move
-- A new message ?2 in queue ?3 with the content of ?1.
INSERT INTO mq_message (id, queue, due, lease, reads, uncounted, answered, unanswered, sent, size, grp, headers, body)
SELECT ?2, ?3, ?4, 0, 0, 0, 0, 0, ?4, size, grp,
  json_set(iif(?6 = '', h, json_set(h, '$."mq-reason"', ?6)), '$."mq-origin"', ?5), body
FROM (SELECT *, json_remove(coalesce(headers, '{}'), '$."mq-reason"', '$."mq-error"') AS h FROM mq_message WHERE id = ?1)

-- name: move body
UPDATE mq_body SET id = ?2 WHERE id = ?1

-- name: redrive
INSERT INTO mq_message (id, queue, due, lease, reads, uncounted, answered, unanswered, sent, size, grp, headers, body)
SELECT ?2, queue, ?3, 0, 0, 0, 0, 0, ?3, size, grp,
  json_set(json_remove(coalesce(headers, '{}'), '$."mq-reason"', '$."mq-error"'), '$."mq-origin"', ?4), body
FROM mq_archive
WHERE id = ?1

-- name: unarchive
DELETE FROM mq_archive WHERE id IN (SELECT value FROM json_each(?1))

-- name: archived
SELECT a.id, a.size, a.grp IS NOT NULL
FROM json_each(?1) j
CROSS JOIN mq_archive a ON a.id = j.value
ORDER BY j.key

-- name: archived first
SELECT id, size, grp IS NOT NULL FROM mq_archive WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3

-- name: archived before
SELECT id, size FROM mq_archive WHERE queue = ?1 AND archived <= ?2 LIMIT ?3

-- name: messages
SELECT id, due, lease <> 0, size FROM mq_message WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3

-- name: pop
SELECT id, reads + 1, uncounted, answered, unanswered, sent, size, grp, headers, body
FROM mq_message
WHERE id IN (
  SELECT id
  FROM (
    SELECT id, sum(size) OVER (ORDER BY due, id) - size AS before
    FROM (SELECT id, due, size FROM mq_message WHERE queue = ?1 AND due <= ?2 ORDER BY due, id LIMIT ?3)
  )
  WHERE before < ?4
)

-- name: count
UPDATE mq_queue SET total = total + ?2, archived = archived + ?3 WHERE id = ?1

-- name: hide
INSERT INTO mq_hidden (queue, bucket, leased, delayed)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET leased = leased + excluded.leased, delayed = delayed + excluded.delayed

-- name: touched
SELECT touched FROM mq_schema

-- name: touch at
UPDATE mq_schema SET touched = ?1

-- name: uncount
DELETE FROM mq_hidden

-- name: recount
INSERT INTO mq_hidden (queue, bucket, leased, delayed)
SELECT queue, due >> 24, sum(lease <> 0), sum(lease = 0)
FROM mq_message
WHERE due > ?1
GROUP BY queue, due >> 24

-- name: sweep
DELETE FROM mq_hidden WHERE bucket < ?1

-- name: stats
-- ?2 is now, ?3 its bucket and ?4 the first moment of the next one: what that bucket
-- hides is looked up, what the later ones hide is counted.
SELECT q.id, q.total, q.archived, q.sent, q.grouped,
  coalesce((SELECT sum(leased) FROM mq_hidden WHERE queue = q.id AND bucket > ?3), 0)
    + (SELECT coalesce(sum(lease <> 0), 0) FROM mq_message WHERE queue = q.id AND due > ?2 AND due < ?4),
  coalesce((SELECT sum(delayed) FROM mq_hidden WHERE queue = q.id AND bucket > ?3), 0)
    + (SELECT coalesce(sum(lease = 0), 0) FROM mq_message WHERE queue = q.id AND due > ?2 AND due < ?4),
  (SELECT sent FROM mq_message WHERE id > q.id << 40 AND id < (q.id + 1) << 40 ORDER BY id LIMIT 1),
  (SELECT sent FROM mq_message WHERE id > q.id << 40 AND id < (q.id + 1) << 40 ORDER BY id DESC LIMIT 1),
  (SELECT min(due) FROM mq_message WHERE queue = q.id AND due <= ?2)
FROM mq_queue q
WHERE name = ?1

-- name: blocked
-- What is due behind a hidden message of its group. It costs as much as there are.
WITH hidden AS MATERIALIZED (
  SELECT grp, min(id) AS first
  FROM mq_message
  WHERE queue = ?1 AND due > ?2 AND grp IS NOT NULL
  GROUP BY grp
)
SELECT count(*)
FROM hidden h
CROSS JOIN mq_message m INDEXED BY mq_message_group ON m.queue = ?1 AND m.grp = h.grp AND m.id > h.first
WHERE m.due <= ?2

-- name: lag
SELECT due
FROM mq_message m
WHERE queue = ?1 AND due <= ?2 AND NOT EXISTS (
  SELECT 1
  FROM mq_message b INDEXED BY mq_message_group
  WHERE b.queue = ?1 AND b.grp = m.grp AND b.id < m.id AND b.due > ?2
)
ORDER BY due
LIMIT 1

-- name: grouping
SELECT g.id, g.filled, g.upto
FROM mq_queue q
LEFT JOIN mq_grouping g ON g.queue = q.id AND g.spec = ?2
WHERE q.name = ?1

-- name: groupings
SELECT id, spec FROM mq_grouping WHERE queue = ?1

-- name: group by
INSERT INTO mq_grouping (queue, spec, filled, upto, at_once)
SELECT id, ?2, 0, sent, ?3 FROM mq_queue WHERE id = ?1
ON CONFLICT DO NOTHING

-- name: count groupings
UPDATE mq_queue SET groupings = (SELECT count(*) FROM mq_grouping WHERE queue = mq_queue.id) WHERE id = ?1

-- name: contents
-- The messages ?1 to ?2, ?4 at most, with their bodies if ?3.
SELECT m.id, m.due, m.lease <> 0, m.grp, m.headers, iif(?3, m.body, NULL), b.body
FROM mq_message m
LEFT JOIN mq_body b ON ?3 AND m.body IS NULL AND b.id = m.id
WHERE m.id >= ?1 AND m.id <= ?2
ORDER BY m.id
LIMIT ?4

-- name: enter
INSERT OR IGNORE INTO mq_member (grouping, key, id, until, due) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: groups
-- The groups of a grouping whose members have all been entered.
INSERT INTO mq_group (grouping, key, head, free)
SELECT g.grouping, g.key, g.head, max(m.due, coalesce(g.until, 0))
FROM (
  SELECT grouping, key, min(id) AS head, max(until) AS until
  FROM mq_member
  WHERE grouping = ?1
  GROUP BY key
) g
CROSS JOIN mq_message m ON m.id = g.head

-- name: limited groups
-- Makes the triggers recompute head and free of every group of a grouping with a limit.
UPDATE mq_member SET until = until
WHERE grouping = ?1 AND (key, id) IN (SELECT key, head FROM mq_group WHERE grouping = ?1)

-- name: filled
UPDATE mq_grouping SET filled = ?2 WHERE id = ?1

-- name: look heads
SELECT
  EXISTS (SELECT 1 FROM mq_group WHERE grouping = ?1 AND free <= ?2),
  (SELECT min(free) FROM mq_group WHERE grouping = ?1 AND free > ?2)

-- name: heads
SELECT g.head, g.key, m.size
FROM mq_group g INDEXED BY mq_group_head
CROSS JOIN mq_message m ON m.id = g.head
WHERE g.grouping = ?1 AND g.free <= ?2
ORDER BY g.head
LIMIT ?3

-- name: turns
-- The next messages of groups that have room under the limit ?4. Of the groups
-- considered, those with the fewest leases come first.
WITH g AS MATERIALIZED (
  SELECT key, (
    SELECT count(*)
    FROM mq_member b INDEXED BY mq_member_until
    WHERE b.grouping = ?1 AND b.key = mq_group.key AND b.until > ?2
  ) AS held
  FROM mq_group INDEXED BY mq_group_head
  WHERE grouping = ?1 AND free <= ?2
  ORDER BY head
  LIMIT max(?3, 100)
),
t AS (
  SELECT b.id, b.due, g.key, held + row_number() OVER (PARTITION BY g.key ORDER BY b.due, b.id) AS turn
  FROM g
  CROSS JOIN mq_member b ON b.grouping = ?1 AND b.key = g.key AND b.id IN (
    SELECT id
    FROM mq_member INDEXED BY mq_member_due
    WHERE grouping = ?1 AND key = g.key AND due <= ?2
    ORDER BY due, id
    LIMIT min(?3, ?4)
  )
)
SELECT t.id, t.key, m.size
FROM t
CROSS JOIN mq_message m ON m.id = t.id
WHERE turn <= ?4 AND m.due <= ?2
ORDER BY turn, t.due, t.id
LIMIT ?3

-- name: holders
-- The messages of a group that are leased.
SELECT m.id, m.reads, m.lease
FROM mq_member b INDEXED BY mq_member_until
CROSS JOIN mq_message m ON m.id = b.id
WHERE b.grouping = ?1 AND b.key = ?2 AND b.until > ?3

-- name: members
SELECT m.id, m.due, m.lease <> 0, m.size
FROM mq_member b
CROSS JOIN mq_message m ON m.id = b.id
WHERE b.grouping = ?1 AND b.key = ?2
ORDER BY b.id
LIMIT ?3

-- name: next member
-- When the next message of a group can be received, as far as its leases go.
SELECT min(m.due)
FROM mq_member b
CROSS JOIN mq_message m ON m.id = b.id
WHERE b.grouping = ?1 AND b.key = ?2 AND m.due > ?3

-- name: touch
-- SQLite does not write what stays the same.
UPDATE mq_schema SET touched = touched + 1

-- name: objects
-- What the doctor compares with the layout.
SELECT type || ' ' || name, sql FROM sqlite_schema WHERE name LIKE 'mq\_%' ESCAPE '\' AND sql IS NOT NULL

-- name: any grouping
SELECT id FROM mq_grouping LIMIT 1

-- name: counters
-- The doctor compares the counters of the queues with the rows. It goes over indexes.
SELECT id, name, total, (SELECT count(*) FROM mq_message m WHERE m.queue = q.id),
  archived, (SELECT count(*) FROM mq_archive a WHERE a.queue = q.id)
FROM mq_queue q
ORDER BY name
