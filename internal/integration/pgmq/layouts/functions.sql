-- A stand-in for the functions of 1.13.1, as far as tests need them. TestFunctions
-- compares it with PGMQ's own.

CREATE TABLE pgmq.topic_bindings (
	pattern text NOT NULL,
	queue_name text NOT NULL REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
	bound_at timestamptz NOT NULL DEFAULT now(),
	compiled_regex text GENERATED ALWAYS AS (
		'^' || replace(replace(regexp_replace(pattern, '([.+?{}()|\[\]\\^$])', '\\\1', 'g'), '*', '[^.]+'), '#', '.*') || '$'
	) STORED,
	CONSTRAINT topic_bindings_unique_pattern_queue UNIQUE (pattern, queue_name)
);

CREATE UNLOGGED TABLE pgmq.notify_insert_throttle (
	queue_name varchar UNIQUE NOT NULL REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
	throttle_interval_ms int NOT NULL DEFAULT 0,
	last_notified_at timestamptz NOT NULL DEFAULT to_timestamp(0)
);

CREATE TYPE pgmq.message_record AS (
	msg_id bigint,
	read_ct int,
	enqueued_at timestamptz,
	last_read_at timestamptz,
	vt timestamptz,
	message jsonb,
	headers jsonb
);

CREATE TYPE pgmq.metrics_result AS (
	queue_name text,
	queue_length bigint,
	newest_msg_age_sec int,
	oldest_msg_age_sec int,
	total_messages bigint,
	scrape_time timestamptz,
	queue_visible_length bigint,
	default_partition_length bigint
);

-- table_of is for the stand-in alone: a quoted table of a queue.
CREATE FUNCTION pgmq.table_of(kind text, queue text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF queue ~ '[$;'']|--' THEN
		RAISE EXCEPTION 'the name of queue % has a character that PGMQ does not take', queue;
	END IF;
	RETURN format('pgmq.%I', kind || '_' || lower(queue));
END $$;

CREATE FUNCTION pgmq.acquire_queue_lock(queue_name text) RETURNS void LANGUAGE sql AS $$
	SELECT pg_advisory_xact_lock(hashtext('pgmq.queue_' || queue_name))
$$;

CREATE FUNCTION pgmq.create(queue_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	q text := pgmq.table_of('q', queue_name);
	a text := pgmq.table_of('a', queue_name);
BEGIN
	IF length(queue_name) > 47 THEN
		RAISE EXCEPTION 'the name of queue % is too long', queue_name;
	END IF;
	PERFORM pgmq.acquire_queue_lock(queue_name);
	EXECUTE format('CREATE TABLE IF NOT EXISTS %s (
		msg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, read_ct int NOT NULL DEFAULT 0,
		enqueued_at timestamptz NOT NULL DEFAULT now(), last_read_at timestamptz, vt timestamptz NOT NULL,
		message jsonb, headers jsonb)', q);
	EXECUTE format('CREATE TABLE IF NOT EXISTS %s (
		msg_id bigint PRIMARY KEY, read_ct int NOT NULL DEFAULT 0,
		enqueued_at timestamptz NOT NULL DEFAULT now(), last_read_at timestamptz, archived_at timestamptz NOT NULL DEFAULT now(),
		vt timestamptz NOT NULL, message jsonb, headers jsonb)', a);
	EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s (vt)', 'q_' || lower(queue_name) || '_vt_idx', q);
	EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s (archived_at)', 'archived_at_idx_' || queue_name, a);
	INSERT INTO pgmq.meta VALUES ($1, false, false) ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION pgmq.create_unlogged(queue_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pgmq.create(queue_name);
	EXECUTE format('ALTER TABLE %s SET UNLOGGED', pgmq.table_of('q', queue_name));
	UPDATE pgmq.meta m SET is_unlogged = true WHERE m.queue_name = $1;
END $$;

CREATE FUNCTION pgmq.drop_queue(queue_name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pgmq.acquire_queue_lock(queue_name);
	IF to_regclass(pgmq.table_of('q', queue_name)) IS NULL THEN
		RAISE NOTICE 'pgmq queue % does not exist', queue_name;
		RETURN false;
	END IF;
	EXECUTE 'DROP TABLE ' || pgmq.table_of('q', queue_name);
	EXECUTE 'DROP TABLE IF EXISTS ' || pgmq.table_of('a', queue_name);
	DELETE FROM pgmq.meta m WHERE m.queue_name = $1;
	RETURN true;
END $$;

-- The argument of the trigger is the queue's name as its owner spells it: the
-- channel has that name, while the table's is in lower case.
CREATE FUNCTION pgmq.notify_queue_listeners() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE pgmq.notify_insert_throttle SET last_notified_at = clock_timestamp()
	WHERE queue_name = TG_ARGV[0] AND (throttle_interval_ms = 0
		OR clock_timestamp() - last_notified_at >= throttle_interval_ms * interval '1 millisecond');
	IF FOUND THEN
		PERFORM pg_notify('pgmq.q_' || TG_ARGV[0] || '.INSERT', NULL);
	END IF;
	RETURN NEW;
END $$;

CREATE FUNCTION pgmq.disable_notify_insert(queue_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'DROP TRIGGER IF EXISTS trigger_notify_queue_insert_listeners ON ' || pgmq.table_of('q', queue_name);
	DELETE FROM pgmq.notify_insert_throttle t WHERE t.queue_name = $1;
END $$;

CREATE FUNCTION pgmq.enable_notify_insert(queue_name text, throttle_interval_ms int DEFAULT 250) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	q text := pgmq.table_of('q', queue_name);
BEGIN
	IF throttle_interval_ms < 0 THEN
		RAISE EXCEPTION 'throttle_interval_ms must not be negative';
	END IF;
	IF to_regclass(q) IS NULL THEN
		RAISE EXCEPTION 'queue % does not exist', queue_name;
	END IF;
	PERFORM pgmq.disable_notify_insert(queue_name);
	INSERT INTO pgmq.notify_insert_throttle VALUES ($1, $2);
	EXECUTE format('CREATE CONSTRAINT TRIGGER trigger_notify_queue_insert_listeners AFTER INSERT ON %s
		DEFERRABLE FOR EACH ROW EXECUTE FUNCTION pgmq.notify_queue_listeners(%L)', q, queue_name);
END $$;

CREATE FUNCTION pgmq.send(queue_name text, msg jsonb, headers jsonb, delay int) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('INSERT INTO %s (vt, message, headers)
		VALUES (clock_timestamp() + $3 * interval ''1 second'', $1, $2) RETURNING msg_id', pgmq.table_of('q', queue_name))
	USING msg, headers, delay;
END $$;

CREATE FUNCTION pgmq.send(queue_name text, msg jsonb) RETURNS SETOF bigint LANGUAGE sql AS $$
	SELECT pgmq.send(queue_name, msg, NULL::jsonb, 0)
$$;

CREATE FUNCTION pgmq.bind_topic(pattern text, queue_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pgmq.meta m WHERE m.queue_name = $2) THEN
		RAISE EXCEPTION 'queue % does not exist', queue_name;
	END IF;
	INSERT INTO pgmq.topic_bindings VALUES ($1, $2) ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION pgmq.unbind_topic(pattern text, queue_name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM pgmq.topic_bindings b WHERE b.pattern = $1 AND b.queue_name = $2;
	RETURN FOUND;
END $$;

CREATE FUNCTION pgmq.send_batch_topic(routing_key text, msgs jsonb[]) RETURNS TABLE (queue_name text, msg_id bigint) LANGUAGE sql AS $$
	SELECT b.queue_name, s
	FROM (SELECT DISTINCT t.queue_name FROM pgmq.topic_bindings t WHERE $1 ~ t.compiled_regex ORDER BY 1) b,
		unnest(msgs) m, pgmq.send(b.queue_name, m) s
$$;

CREATE FUNCTION pgmq.send_topic(routing_key text, msg jsonb) RETURNS integer LANGUAGE sql AS $$
	SELECT count(*)::int FROM pgmq.send_batch_topic(routing_key, ARRAY[msg])
$$;

CREATE FUNCTION pgmq.read(queue_name text, vt int, qty int) RETURNS SETOF pgmq.message_record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('WITH c AS (
			SELECT msg_id FROM %1$s WHERE vt <= clock_timestamp() ORDER BY msg_id LIMIT $2 FOR UPDATE SKIP LOCKED)
		UPDATE %1$s m SET last_read_at = clock_timestamp(), vt = clock_timestamp() + $1 * interval ''1 second'', read_ct = m.read_ct + 1
		FROM c WHERE m.msg_id = c.msg_id
		RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers', pgmq.table_of('q', queue_name))
	USING vt, qty;
END $$;

CREATE FUNCTION pgmq.pop(queue_name text, qty int DEFAULT 1) RETURNS SETOF pgmq.message_record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('WITH c AS (
			SELECT msg_id FROM %1$s WHERE vt <= clock_timestamp() ORDER BY msg_id LIMIT $1 FOR UPDATE SKIP LOCKED)
		DELETE FROM %1$s m USING c WHERE m.msg_id = c.msg_id
		RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers', pgmq.table_of('q', queue_name))
	USING qty;
END $$;

CREATE FUNCTION pgmq.delete(queue_name text, msg_id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('DELETE FROM %s WHERE msg_id = $1', pgmq.table_of('q', queue_name)) USING msg_id;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n > 0;
END $$;

CREATE FUNCTION pgmq.archive(queue_name text, msg_id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('WITH d AS (DELETE FROM %s WHERE msg_id = $1 RETURNING *)
		INSERT INTO %s (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
		SELECT msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers FROM d',
		pgmq.table_of('q', queue_name), pgmq.table_of('a', queue_name)) USING msg_id;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n > 0;
END $$;

CREATE FUNCTION pgmq.set_vt(queue_name text, msg_id bigint, vt int) RETURNS SETOF pgmq.message_record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('UPDATE %s SET vt = clock_timestamp() + $2 * interval ''1 second'' WHERE msg_id = $1
		RETURNING msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers', pgmq.table_of('q', queue_name))
	USING msg_id, vt;
END $$;

CREATE FUNCTION pgmq.metrics(queue_name text) RETURNS pgmq.metrics_result LANGUAGE plpgsql AS $$
DECLARE
	r pgmq.metrics_result;
BEGIN
	EXECUTE format('SELECT $1, count(*), extract(epoch FROM clock_timestamp() - max(enqueued_at))::int,
		extract(epoch FROM clock_timestamp() - min(enqueued_at))::int, coalesce(pg_sequence_last_value(pg_get_serial_sequence($2, ''msg_id'')), 0),
		clock_timestamp(), count(*) FILTER (WHERE vt <= clock_timestamp()), NULL::bigint FROM %s', pgmq.table_of('q', queue_name))
	INTO r USING queue_name, pgmq.table_of('q', queue_name);
	RETURN r;
END $$;
