"""What is asked of the tables: SQL and what its rows become (pure), and the one place that asks (reading.py)."""
