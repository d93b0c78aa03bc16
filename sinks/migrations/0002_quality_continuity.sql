-- More of what a minute was made of. Rows of before say 0: nobody counted.
ALTER TABLE quality
    ADD COLUMN blind_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN crossed_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN checksum_failures bigint NOT NULL DEFAULT 0,
    ADD COLUMN skewed bigint NOT NULL DEFAULT 0,
    ADD COLUMN clamped bigint NOT NULL DEFAULT 0,
    ADD COLUMN clock_skew_us bigint NOT NULL DEFAULT 0;

-- Intervals in which a book was proven without a break; reason is null while one goes on.
CREATE TABLE continuity (
    symbol varchar(20) NOT NULL,
    exchange varchar(20) NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    rule varchar(10) NOT NULL,
    sequenced bigint NOT NULL,
    checked bigint NOT NULL,
    snapshots bigint NOT NULL,
    conn text NOT NULL,
    connections bigint NOT NULL,
    reason varchar(40),
    received_at timestamptz,
    position text,
    PRIMARY KEY (start_time, symbol, exchange)
);
SELECT create_hypertable('continuity', 'start_time',
    chunk_time_interval => interval '7 days', create_default_indexes => false);
