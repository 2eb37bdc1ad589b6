-- Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS queues (
  name TEXT PRIMARY KEY,
  sent INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS messages (
  id          INTEGER PRIMARY KEY AUTOINCREMENT, -- never again
  queue       TEXT NOT NULL,
  body        BLOB,
  headers     TEXT NOT NULL,
  enqueued_at INTEGER NOT NULL,
  visible_at  INTEGER NOT NULL,
  reads       INTEGER NOT NULL DEFAULT 0,
  lease       TEXT,    -- random; NULL before the first lease and once it was given back
  archived_at INTEGER
);
CREATE INDEX IF NOT EXISTS messages_visible ON messages (queue, visible_at) WHERE archived_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS messages_lease ON messages (lease);
