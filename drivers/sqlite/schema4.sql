-- What version 4 adds to version 3: groupings of which several messages of a group may
-- be leased at a time. The spec of such a grouping is {"limit": number, "by": [...]}, and
-- the due of its members is that of the message; in other groupings it is NULL. In its
-- groups head is the message that is due first, and free is the time at which another can
-- be leased.

ALTER TABLE mq_grouping ADD COLUMN at_once INTEGER NOT NULL DEFAULT 1;
ALTER TABLE mq_member ADD COLUMN due INTEGER;
CREATE INDEX mq_member_due ON mq_member (grouping, key, due, id) WHERE due IS NOT NULL;

UPDATE mq_schema SET version = 4;
