"""The ends of the pipeline: topics into TimescaleDB (each row once) and into Redis (latest values and a live feed)."""
