-- Aging: when positions were given out, so that a restart makes no job younger (src/aging_task.c).

CREATE TABLE fairsched.position_times (
	at timestamptz NOT NULL,
	position bigint NOT NULL
);
COMMENT ON TABLE fairsched.position_times IS 'When places in the queues were given out: how long jobs have waited, read after a restart. The scheduler adds a row each 1/32 of fairsched.priority_aging (at least a second apart) while jobs become ready, and removes those older than twice the setting.';
COMMENT ON COLUMN fairsched.position_times.at IS 'When.';
COMMENT ON COLUMN fairsched.position_times.position IS 'Positions below this had been given out then, those from it on had not.';
REVOKE ALL ON fairsched.position_times FROM PUBLIC;
