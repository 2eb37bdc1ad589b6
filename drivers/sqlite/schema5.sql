-- What version 5 adds to version 4.

-- The Consumers of every process fetch nothing from these queues.
CREATE TABLE mq_pause (
  queue INTEGER PRIMARY KEY,
  since INTEGER NOT NULL,
  paused_by TEXT NOT NULL
) STRICT;

-- What a Consumer has reported of itself. A row whose until is past means nothing; the
-- next report of any Consumer removes it.
CREATE TABLE mq_consumer (
  id TEXT PRIMARY KEY,
  queue INTEGER NOT NULL,
  seen INTEGER NOT NULL, -- when the report was stored
  until INTEGER NOT NULL,
  report TEXT NOT NULL -- a driver.ConsumerReport as JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX mq_consumer_until ON mq_consumer (until);

UPDATE mq_schema SET version = 5;
