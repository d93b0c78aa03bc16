"""Exchanges on localhost, each in its own protocol: a recording played, or a seeded market.

Written from the exchanges' documentation alone. It imports nothing of COBY on purpose: a misunderstanding
that the pipeline and its own test partner shared would never show.
"""
