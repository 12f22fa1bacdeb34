"""The command line: one file per group of commands, imported when called."""

import time

BEGAN = time.monotonic()
"""When this command began: `python -m bench` imports this package before anything else."""
