"""Measurements as ratios, both sides in one run on one machine: ``make bench`` (docs/measurements.md says what of)."""
