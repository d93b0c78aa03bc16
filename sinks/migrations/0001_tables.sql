-- The four tables of the user's documents with their columns and keys, and those beside them.
-- Numbers are exact decimals: prices of 8 decimals in the quote currency, sizes in the base currency.

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE order_book_snapshots (
    id bigserial,
    symbol varchar(20) NOT NULL,
    exchange varchar(20) NOT NULL,
    timestamp timestamptz NOT NULL,
    bids jsonb NOT NULL,
    asks jsonb NOT NULL,
    sequence_id bigint,
    mid_price decimal(20,8),
    spread decimal(20,8),
    bid_volume decimal(30,8),
    ask_volume decimal(30,8),
    received_at timestamptz,
    position text,
    PRIMARY KEY (timestamp, symbol, exchange)
);
SELECT create_hypertable('order_book_snapshots', 'timestamp',
    chunk_time_interval => interval '1 day', create_default_indexes => false);

CREATE TABLE trade_events (
    id bigserial,
    symbol varchar(20) NOT NULL,
    exchange varchar(20) NOT NULL,
    timestamp timestamptz NOT NULL,
    price decimal(20,8) NOT NULL,
    size decimal(30,8) NOT NULL,
    side varchar(4) NOT NULL,
    trade_id varchar(100) NOT NULL,
    received_at timestamptz,
    position text,
    PRIMARY KEY (timestamp, symbol, exchange, trade_id)
);
SELECT create_hypertable('trade_events', 'timestamp',
    chunk_time_interval => interval '1 day', create_default_indexes => false);

CREATE TABLE heatmap_data (
    symbol varchar(20) NOT NULL,
    timestamp timestamptz NOT NULL,
    bucket_size decimal(10,2) NOT NULL,
    price_bucket decimal(20,8) NOT NULL,
    volume decimal(30,8) NOT NULL,
    side varchar(3) NOT NULL,
    exchange_count integer NOT NULL,
    received_at timestamptz,
    position text,
    PRIMARY KEY (timestamp, symbol, bucket_size, price_bucket, side)
);
SELECT create_hypertable('heatmap_data', 'timestamp',
    chunk_time_interval => interval '1 day', create_default_indexes => false);

CREATE TABLE ohlcv_data (
    symbol varchar(20) NOT NULL,
    timestamp timestamptz NOT NULL,
    timeframe varchar(10) NOT NULL,
    open_price decimal(20,8) NOT NULL,
    high_price decimal(20,8) NOT NULL,
    low_price decimal(20,8) NOT NULL,
    close_price decimal(20,8) NOT NULL,
    volume decimal(30,8) NOT NULL,
    trade_count integer NOT NULL,
    received_at timestamptz,
    position text,
    revision integer NOT NULL,
    complete boolean NOT NULL,
    PRIMARY KEY (timestamp, symbol, timeframe)
);
SELECT create_hypertable('ohlcv_data', 'timestamp',
    chunk_time_interval => interval '7 days', create_default_indexes => false);
-- One timeframe over a long time is the usual question; the key would read all timeframes for it.
CREATE INDEX ohlcv_data_by_timeframe ON ohlcv_data (symbol, timeframe, timestamp DESC);

-- One row per stored tick of the heatmap: what tells an empty cell from an unknown one.
CREATE TABLE heatmap_ticks (
    symbol varchar(20) NOT NULL,
    timestamp timestamptz NOT NULL,
    bucket_size decimal(10,2) NOT NULL,
    exchanges jsonb NOT NULL,
    missing jsonb NOT NULL,
    covered_low decimal(20,8),
    covered_high decimal(20,8),
    received_at timestamptz,
    position text,
    PRIMARY KEY (timestamp, symbol, bucket_size)
);
SELECT create_hypertable('heatmap_ticks', 'timestamp',
    chunk_time_interval => interval '7 days', create_default_indexes => false);

-- Holes; until_time is null while one is open.
CREATE TABLE gaps (
    symbol varchar(20) NOT NULL,
    exchange varchar(20) NOT NULL,
    from_time timestamptz NOT NULL,
    until_time timestamptz,
    reason varchar(40) NOT NULL,
    conn text,
    detail text NOT NULL,
    received_at timestamptz,
    position text,
    PRIMARY KEY (from_time, symbol, exchange, reason)
);
SELECT create_hypertable('gaps', 'from_time',
    chunk_time_interval => interval '7 days', create_default_indexes => false);

-- What each minute of each book was worth; shares are 0 to 1.
CREATE TABLE quality (
    symbol varchar(20) NOT NULL,
    exchange varchar(20) NOT NULL,
    timestamp timestamptz NOT NULL,
    score decimal(9,8) NOT NULL,
    coverage decimal(9,8) NOT NULL,
    accepted decimal(9,8) NOT NULL,
    events bigint NOT NULL,
    rejected bigint NOT NULL,
    duplicates bigint NOT NULL,
    anomalies bigint NOT NULL,
    gaps bigint NOT NULL,
    crossed_ticks bigint NOT NULL,
    received_at timestamptz,
    position text,
    PRIMARY KEY (timestamp, symbol, exchange)
);
SELECT create_hypertable('quality', 'timestamp',
    chunk_time_interval => interval '7 days', create_default_indexes => false);

-- Where the sink stands, moved in the transaction that writes the rows. positions: the newest position taken
-- of each source, by which repeats are dropped.
CREATE TABLE sink_progress (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    positions jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);
