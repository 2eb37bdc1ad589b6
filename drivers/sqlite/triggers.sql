-- They keep mq_member and mq_group true. A file whose queues are not received by group
-- does not have them. mq_group has no rows of a grouping that is being made. They replace
-- those that an older version of the driver has made.

DROP TRIGGER IF EXISTS mq_message_updated;
DROP TRIGGER IF EXISTS mq_message_deleted;
DROP TRIGGER IF EXISTS mq_member_inserted;
DROP TRIGGER IF EXISTS mq_member_updated;
DROP TRIGGER IF EXISTS mq_member_limited;
DROP TRIGGER IF EXISTS mq_member_deleted;

CREATE TRIGGER mq_message_updated AFTER UPDATE OF due, lease ON mq_message BEGIN
  UPDATE mq_member SET until = iif(NEW.lease <> 0, NEW.due, NULL), due = iif(due IS NULL, NULL, NEW.due)
  WHERE id = NEW.id;
END;

CREATE TRIGGER mq_message_deleted AFTER DELETE ON mq_message BEGIN
  DELETE FROM mq_member WHERE id = OLD.id;
END;

CREATE TRIGGER mq_member_inserted AFTER INSERT ON mq_member
WHEN (SELECT filled >= upto FROM mq_grouping WHERE id = NEW.grouping) BEGIN
  INSERT OR IGNORE INTO mq_group VALUES (NEW.grouping, NEW.key, NEW.id, 0);
  UPDATE mq_member SET until = until WHERE grouping = NEW.grouping AND key = NEW.key AND id = NEW.id;
END;

CREATE TRIGGER mq_member_updated AFTER UPDATE ON mq_member WHEN NEW.due IS NULL BEGIN
  UPDATE mq_group SET (head, free) = (
    SELECT m.id, max(m.due, coalesce((
      SELECT max(until) FROM mq_member INDEXED BY mq_member_until
      WHERE grouping = NEW.grouping AND key = NEW.key AND until IS NOT NULL), 0))
    FROM mq_message m
    WHERE m.id = (SELECT min(id) FROM mq_member WHERE grouping = NEW.grouping AND key = NEW.key))
  WHERE grouping = NEW.grouping AND key = NEW.key;
END;

CREATE TRIGGER mq_member_limited AFTER UPDATE ON mq_member WHEN NEW.due IS NOT NULL BEGIN
  UPDATE mq_group SET (head, free) = (
    SELECT id, max(due, coalesce((
      SELECT until FROM mq_member INDEXED BY mq_member_until
      WHERE grouping = NEW.grouping AND key = NEW.key AND until IS NOT NULL
      ORDER BY until DESC
      LIMIT 1 OFFSET (SELECT at_once - 1 FROM mq_grouping WHERE id = NEW.grouping)), 0))
    FROM mq_member INDEXED BY mq_member_due
    WHERE grouping = NEW.grouping AND key = NEW.key AND due IS NOT NULL
    ORDER BY due, id
    LIMIT 1)
  WHERE grouping = NEW.grouping AND key = NEW.key;
END;

CREATE TRIGGER mq_member_deleted AFTER DELETE ON mq_member BEGIN
  DELETE FROM mq_group
  WHERE grouping = OLD.grouping AND key = OLD.key
    AND NOT EXISTS (SELECT 1 FROM mq_member WHERE grouping = OLD.grouping AND key = OLD.key);
  UPDATE mq_member SET until = until
  WHERE grouping = OLD.grouping AND key = OLD.key
    AND id = (SELECT min(id) FROM mq_member WHERE grouping = OLD.grouping AND key = OLD.key);
END;
