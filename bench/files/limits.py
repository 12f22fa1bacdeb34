"""The largest numbers in flags and records. A larger one is a mistake or an attack."""

IMAGE_SIZE = 1_000_000
"""Pixels per side."""
CLASSES = 100_000_000
BATCH = 1_000_000_000
"""Images per call."""
ROUNDS = 10_000
"""Rounds in one record: a bootstrap of this many takes half a gigabyte."""
PROCESSES = 1_000
"""Processes behind the rounds of one record."""
RUNS = 10_000
METRICS = 100
"""Metrics in one record."""
NAME = 60
"""Characters of a name for a model in reports."""
RECORD = 128 << 20
"""Bytes of one record."""
VALUES = 4_000_000
"""Values in one record, or in a whole pack: each takes up to a hundred bytes of memory."""
