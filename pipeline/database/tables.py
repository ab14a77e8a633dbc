"""Define the tables of the database that do not depend on a classifier."""

from pipeline.database.stores import layouts
from pipeline.database.watermark import watermarks_query

HISTORY_TABLES = frozenset({"runs", "shards", "attempts"})

# The columns that a later version added come last, also in a new database. There is no primary key:
# DuckDB 1.0 cannot open a file with an index that DuckDB 2 wrote.
CREATE_TABLES = f"""
CREATE TABLE IF NOT EXISTS runs (
    run_id VARCHAR NOT NULL, name VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
    run_dir VARCHAR NOT NULL, posts BIGINT NOT NULL, shards INTEGER NOT NULL,
    state VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, version VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS shards (
    run_id VARCHAR NOT NULL, shard_index INTEGER NOT NULL, posts BIGINT NOT NULL,
    min_preprocessing_timestamp TIMESTAMP NOT NULL, max_preprocessing_timestamp TIMESTAMP NOT NULL,
    state VARCHAR NOT NULL, cause VARCHAR, attempts INTEGER NOT NULL, gathered_at TIMESTAMP,
    publication VARCHAR);
CREATE TABLE IF NOT EXISTS attempts (
    run_id VARCHAR NOT NULL, shard_index INTEGER NOT NULL, attempt INTEGER NOT NULL,
    array_job_id BIGINT, array_task_index INTEGER NOT NULL, slurm_state VARCHAR, cause VARCHAR,
    exit_code VARCHAR, elapsed_s BIGINT, max_rss_mb DOUBLE, mem_gb DOUBLE, time_min BIGINT,
    node VARCHAR, submitted_at TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP);
CREATE TABLE IF NOT EXISTS samples (
    sample VARCHAR NOT NULL, uri VARCHAR NOT NULL, stratum VARCHAR NOT NULL,
    inclusion_probability DOUBLE NOT NULL, posts BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS sample_files (sample VARCHAR NOT NULL, description VARCHAR NOT NULL);
ALTER TABLE runs ADD COLUMN IF NOT EXISTS only_labelled_by VARCHAR;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS replaces VARCHAR;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS sample VARCHAR;
ALTER TABLE shards ADD COLUMN IF NOT EXISTS output_sha256 VARCHAR;
ALTER TABLE shards ADD COLUMN IF NOT EXISTS rows_hash VARCHAR;
{layouts.CREATE_TABLES}
CREATE OR REPLACE VIEW watermarks AS {watermarks_query()};
"""
