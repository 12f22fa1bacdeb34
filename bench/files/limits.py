"""The largest numbers that flags take and records may hold. Whatever lies above is a slip or an attack, never a measurement."""

IMAGE_SIZE = 1_000_000
"""Pixels a side."""
CLASSES = 100_000_000
BATCH = 1_000_000_000
"""Images per call."""
ROUNDS = 10_000
"""Rounds in one record: a bootstrap of so many takes half a gigabyte."""
PROCESSES = 1_000
"""Processes that the rounds of one record were taken in."""
RUNS = 10_000
METRICS = 100
"""Metrics in one record."""
RECORD = 128 << 20
"""Bytes of one record."""
VALUES = 4_000_000
"""Values in one record, or in all of a pack: each takes up to a hundred bytes of memory."""
