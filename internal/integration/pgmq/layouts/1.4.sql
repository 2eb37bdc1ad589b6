CREATE TABLE pgmq.q_jobs (
	msg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	read_ct int NOT NULL DEFAULT 0,
	enqueued_at timestamptz NOT NULL DEFAULT now(),
	vt timestamptz NOT NULL,
	message jsonb
);
CREATE INDEX q_jobs_vt_idx ON pgmq.q_jobs (vt);

CREATE TABLE pgmq.a_jobs (
	msg_id bigint PRIMARY KEY,
	read_ct int NOT NULL DEFAULT 0,
	enqueued_at timestamptz NOT NULL DEFAULT now(),
	archived_at timestamptz NOT NULL DEFAULT now(),
	vt timestamptz NOT NULL,
	message jsonb
);
CREATE INDEX archived_at_idx_jobs ON pgmq.a_jobs (archived_at);

INSERT INTO pgmq.meta VALUES ('jobs', false, false);
