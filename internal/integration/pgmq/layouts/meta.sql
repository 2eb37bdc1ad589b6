CREATE SCHEMA pgmq;

CREATE TABLE pgmq.meta (
	queue_name varchar UNIQUE NOT NULL,
	is_partitioned boolean NOT NULL,
	is_unlogged boolean NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
