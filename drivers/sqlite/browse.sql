-- Statements that show messages in the order of their ids. newestFirst turns the order of
-- those that end with it. A message's state is 1 if it is visible, 2 if it is leased, 3 if
-- it is delayed and 4 if it is archived, as driver.State says.

-- name: search
-- The messages between ?1 and ?2 that fit, ?3 at most, with ?4 bytes of their bodies, or
-- whole ones if that is 0. ?5 is now. Of the conditions in ?6 to ?13 NULL is none.
SELECT m.id, m.due, 0, m.reads, m.uncounted, m.sent, m.size, m.grp, m.headers,
  CASE WHEN m.due <= ?5 THEN 1 WHEN m.lease <> 0 THEN 2 ELSE 3 END,
  iif(?4 > 0, substr(coalesce(m.body, b.body), 1, ?4), coalesce(m.body, b.body))
FROM mq_message m
LEFT JOIN mq_body b ON m.body IS NULL AND b.id = m.id
WHERE m.id > ?1 AND m.id < ?2
  AND (?6 IS NULL OR ?6 = CASE WHEN m.due <= ?5 THEN 1 WHEN m.lease <> 0 THEN 2 ELSE 3 END)
  AND (?7 IS NULL OR EXISTS (SELECT 1 FROM json_each(m.headers) j WHERE j.key = ?7 AND j.value = ?8))
  AND (?9 IS NULL OR m.grp = ?9)
  AND (?10 IS NULL OR m.sent >= ?10)
  AND (?11 IS NULL OR m.sent < ?11)
  AND (?12 IS NULL OR EXISTS (
    SELECT 1
    FROM json_each(m.headers) j
    WHERE j.key IN ('mq-reason', 'mq-error') AND instr(CAST(j.value AS BLOB), CAST(?12 AS BLOB))
  ))
  AND (?13 IS NULL OR instr(coalesce(m.body, b.body), ?13))
ORDER BY m.id
LIMIT ?3

-- name: search archive
SELECT m.id, m.due, m.archived, m.reads, m.uncounted, m.sent, m.size, m.grp, m.headers, 4,
  iif(?4 > 0, substr(coalesce(m.body, b.body), 1, ?4), coalesce(m.body, b.body))
FROM mq_archive m
LEFT JOIN mq_body b ON m.body IS NULL AND b.id = m.id
WHERE m.id > ?1 AND m.id < ?2
  AND (?6 IS NULL OR ?6 = 4)
  AND (?7 IS NULL OR EXISTS (SELECT 1 FROM json_each(m.headers) j WHERE j.key = ?7 AND j.value = ?8))
  AND (?9 IS NULL OR m.grp = ?9)
  AND (?10 IS NULL OR m.sent >= ?10)
  AND (?11 IS NULL OR m.sent < ?11)
  AND (?12 IS NULL OR EXISTS (
    SELECT 1
    FROM json_each(m.headers) j
    WHERE j.key IN ('mq-reason', 'mq-error') AND instr(CAST(j.value AS BLOB), CAST(?12 AS BLOB))
  ))
  AND (?13 IS NULL OR instr(coalesce(m.body, b.body), ?13))
ORDER BY m.id
LIMIT ?3

-- name: browse ids
-- The same, without conditions, of the messages with the ids ?6.
SELECT m.id, m.due, 0, m.reads, m.uncounted, m.sent, m.size, m.grp, m.headers,
  CASE WHEN m.due <= ?5 THEN 1 WHEN m.lease <> 0 THEN 2 ELSE 3 END,
  iif(?4 > 0, substr(coalesce(m.body, b.body), 1, ?4), coalesce(m.body, b.body))
FROM mq_message m
LEFT JOIN mq_body b ON m.body IS NULL AND b.id = m.id
WHERE m.id IN (SELECT value FROM json_each(?6)) AND m.id > ?1 AND m.id < ?2
ORDER BY m.id
LIMIT ?3

-- name: browse archive ids
SELECT m.id, m.due, m.archived, m.reads, m.uncounted, m.sent, m.size, m.grp, m.headers, 4,
  iif(?4 > 0, substr(coalesce(m.body, b.body), 1, ?4), coalesce(m.body, b.body))
FROM mq_archive m
LEFT JOIN mq_body b ON m.body IS NULL AND b.id = m.id
WHERE m.id IN (SELECT value FROM json_each(?6)) AND m.id > ?1 AND m.id < ?2
ORDER BY m.id
LIMIT ?3

-- name: reach
-- How far ?3 messages between ?1 and ?2 go.
SELECT count(*), coalesce(min(id), 0), coalesce(max(id), 0)
FROM (SELECT m.id FROM mq_message m WHERE m.id > ?1 AND m.id < ?2 ORDER BY m.id LIMIT ?3)

-- name: reach archive
SELECT count(*), coalesce(min(id), 0), coalesce(max(id), 0)
FROM (SELECT m.id FROM mq_archive m WHERE m.id > ?1 AND m.id < ?2 ORDER BY m.id LIMIT ?3)

-- name: reasons
-- The reasons of the last ?3 archived messages between ?1 and ?2.
SELECT coalesce(json_extract(headers, '$."mq-reason"'), '') AS reason, count(*), min(archived), max(archived)
FROM (SELECT headers, archived FROM mq_archive WHERE id > ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3)
GROUP BY reason
ORDER BY count(*) DESC, reason
