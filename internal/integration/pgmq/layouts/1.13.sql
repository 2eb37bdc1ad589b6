SELECT pgmq.create('jobs');
SELECT pgmq.enable_notify_insert('jobs', 250);
