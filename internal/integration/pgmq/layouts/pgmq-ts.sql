-- Bare tables: no meta, no headers, no index on vt.
CREATE SCHEMA pgmq;

CREATE TABLE pgmq.q_jobs (
	msg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	read_ct int NOT NULL DEFAULT 0,
	enqueued_at timestamptz NOT NULL DEFAULT now(),
	vt timestamptz NOT NULL,
	message jsonb
);

CREATE TABLE pgmq.a_jobs (
	msg_id bigint PRIMARY KEY,
	read_ct int NOT NULL DEFAULT 0,
	enqueued_at timestamptz NOT NULL DEFAULT now(),
	archived_at timestamptz NOT NULL DEFAULT now(),
	vt timestamptz NOT NULL,
	message jsonb
);
