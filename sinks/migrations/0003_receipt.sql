-- A replay asks for rows by the time of their receipt, which is not the time in the key of these two. Rows are written
-- nearly in that order, so that a block index says all: it costs next to nothing to keep.

CREATE INDEX trade_events_by_receipt ON trade_events USING brin (received_at) WITH (autosummarize = on);
CREATE INDEX ohlcv_data_by_receipt ON ohlcv_data USING brin (received_at) WITH (autosummarize = on);
