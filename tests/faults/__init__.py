"""Faults dealt to a running pipeline, and what must hold after them (`python -m tests.faults`)."""
