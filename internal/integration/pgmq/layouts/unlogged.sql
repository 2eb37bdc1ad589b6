-- The archive stays logged.
ALTER TABLE pgmq.q_jobs SET UNLOGGED;
UPDATE pgmq.meta SET is_unlogged = true;
