"""How many rounds and processes an arm gets: what measuring keeps to, and what its forecast counts with."""

FIRST_LOOK = 6
"""The first round after which there is an interval."""
PROCESSES, PROCESSES_IF_DEAR, DEAR = 3, 2, 10.0
"""Processes that every arm gets in a phase at least; where one more is expected to take more than `DEAR` seconds, two."""
RENEWING = 0.5
"""Share of the time budget that may go into new processes."""
SENTINEL_EVERY = 3
"""The sentinel pair takes part in the rounds that an interval needs, then in every third: it checks the others and should not
cost as much as they do, and without an interval it checks nothing."""
