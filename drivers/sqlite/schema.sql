-- The layout, version 1. docs/sqlite.md explains it to programs that read it.
-- Times are microseconds since 1970 UTC, by the machine's clock.

CREATE TABLE mq_schema (
  version INTEGER NOT NULL,
  touched INTEGER NOT NULL -- when mq_hidden was last swept, or a little later
) STRICT;

INSERT INTO mq_schema VALUES (1, 0);

-- id is never used again, so that rows of a dropped queue belong to nobody else. mark
-- is random and in every receipt: two files have the same ids.
CREATE TABLE mq_queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE, -- NULL once it is dropped, while its rows are being deleted
  mark INTEGER NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0, -- messages ever put into it: the number of the last one
  total INTEGER NOT NULL DEFAULT 0, -- rows in mq_message
  archived INTEGER NOT NULL DEFAULT 0, -- rows in mq_archive
  grouped INTEGER NOT NULL DEFAULT 0, -- 1 once it has had a message with a group
  groupings INTEGER NOT NULL DEFAULT 0 -- rows in mq_grouping
) STRICT;

-- id is queue << 40 | the message's number in its queue. A message is visible if due is
-- past; else it is leased or delayed. lease stays when a lease ends by itself.
CREATE TABLE mq_message (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  due INTEGER NOT NULL,
  lease INTEGER NOT NULL, -- 0, or a random number below 2048 that the last lease has
  reads INTEGER NOT NULL,
  uncounted INTEGER NOT NULL, -- leases that were no attempts
  answered INTEGER NOT NULL, -- reads at the last nack
  unanswered INTEGER NOT NULL, -- attempts that nobody had answered before an uncounted nack
  sent INTEGER NOT NULL,
  size INTEGER NOT NULL, -- of the body, in bytes
  grp TEXT,
  headers TEXT, -- a JSON object of strings
  body BLOB -- NULL: in mq_body, so that a lease does not write a large body again
) STRICT;

-- With id named it is in the order of due and id, and covers what is counted.
CREATE INDEX mq_message_due ON mq_message (queue, due, id, lease, size);
CREATE INDEX mq_message_group ON mq_message (queue, grp, id) WHERE grp IS NOT NULL;

CREATE TABLE mq_body (
  id INTEGER PRIMARY KEY, -- of a row in mq_message or mq_archive
  body BLOB NOT NULL
) STRICT;

CREATE TABLE mq_archive (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  archived INTEGER NOT NULL,
  due INTEGER NOT NULL,
  reads INTEGER NOT NULL,
  uncounted INTEGER NOT NULL,
  sent INTEGER NOT NULL,
  size INTEGER NOT NULL,
  grp TEXT,
  headers TEXT,
  body BLOB
) STRICT;

CREATE INDEX mq_archive_age ON mq_archive (queue, archived);

-- How many messages are leased or delayed until a time of a bucket, due >> 24: about 17
-- seconds. Buckets that are past mean nothing.
CREATE TABLE mq_hidden (
  queue INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  leased INTEGER NOT NULL,
  delayed INTEGER NOT NULL,
  PRIMARY KEY (queue, bucket)
) STRICT, WITHOUT ROWID;

-- A grouping is one driver.GroupBy that a queue has been received by.
CREATE TABLE mq_grouping (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL,
  spec TEXT NOT NULL, -- ["group"], ["header", name] or ["path", step, ...]
  filled INTEGER NOT NULL, -- messages up to this number have been entered,
  upto INTEGER NOT NULL, -- and those after this one when they were sent
  UNIQUE (queue, spec)
) STRICT;

-- key is TEXT, or the message's id if it has no key and is a group of its own.
CREATE TABLE mq_member (
  grouping INTEGER NOT NULL,
  key ANY NOT NULL,
  id INTEGER NOT NULL,
  until INTEGER, -- due if it is leased
  PRIMARY KEY (grouping, key, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX mq_member_id ON mq_member (id, grouping, key);
CREATE INDEX mq_member_until ON mq_member (grouping, key, until) WHERE until IS NOT NULL;

-- free is when a group can be received: its oldest message is due, and no lease of it
-- goes on.
CREATE TABLE mq_group (
  grouping INTEGER NOT NULL,
  key ANY NOT NULL,
  head INTEGER NOT NULL,
  free INTEGER NOT NULL,
  PRIMARY KEY (grouping, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX mq_group_head ON mq_group (grouping, head, free);
CREATE INDEX mq_group_free ON mq_group (grouping, free);
