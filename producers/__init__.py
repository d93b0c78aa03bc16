"""Sockets -> raw topics: one process per exchange, and the clock. Frames are published, never understood."""
