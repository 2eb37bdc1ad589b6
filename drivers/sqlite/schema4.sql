-- What version 4 adds to version 3: groupings of which several messages of a group may
-- be leased at a time. The spec of such a one is ["limit", number, ...], and the due of
-- its members is that of the message; in the others it is NULL. In its groups head is
-- the message that is due first, and free is when a further one can be leased.

ALTER TABLE mq_grouping ADD COLUMN at_once INTEGER NOT NULL DEFAULT 1;
ALTER TABLE mq_member ADD COLUMN due INTEGER;
CREATE INDEX mq_member_due ON mq_member (grouping, key, due, id) WHERE due IS NOT NULL;

-- The next receives by group make the groupings again, and the triggers.
DROP TRIGGER IF EXISTS mq_message_updated;
DROP TRIGGER IF EXISTS mq_message_deleted;
DROP TRIGGER IF EXISTS mq_member_inserted;
DROP TRIGGER IF EXISTS mq_member_updated;
DROP TRIGGER IF EXISTS mq_member_deleted;
DELETE FROM mq_member;
DELETE FROM mq_group;
DELETE FROM mq_grouping;
UPDATE mq_queue SET groupings = 0;

UPDATE mq_schema SET version = 4;
