-- New queues have the column further ahead.
ALTER TABLE pgmq.q_jobs ADD COLUMN last_read_at timestamptz;
ALTER TABLE pgmq.a_jobs ADD COLUMN last_read_at timestamptz;
