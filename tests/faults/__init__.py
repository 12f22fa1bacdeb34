"""Let every call of a command fail, one at a time: `python -m tests.by_hand.every_fault`."""
