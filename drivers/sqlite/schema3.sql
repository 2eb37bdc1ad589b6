-- What version 3 adds to version 2.

-- A queue gets the messages whose topic matches the pattern.
CREATE TABLE mq_binding (
  queue INTEGER NOT NULL,
  pattern TEXT NOT NULL,
  PRIMARY KEY (queue, pattern)
) STRICT, WITHOUT ROWID;

UPDATE mq_schema SET version = 3;
