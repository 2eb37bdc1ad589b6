-- What version 2 adds to version 1.

-- A key of a message, which is held until ends; or, if that is NULL, while the message
-- is in mq_message. Rows whose time is over are removed by later sends.
CREATE TABLE mq_key (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  id INTEGER NOT NULL, -- of the message
  ends INTEGER,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX mq_key_ends ON mq_key (ends) WHERE ends IS NOT NULL;
CREATE INDEX mq_key_queued ON mq_key (id) WHERE ends IS NULL;

UPDATE mq_schema SET version = 2;
