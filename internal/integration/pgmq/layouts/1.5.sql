-- New queues have the column in the same place.
ALTER TABLE pgmq.q_jobs ADD COLUMN headers jsonb;
ALTER TABLE pgmq.a_jobs ADD COLUMN headers jsonb;
