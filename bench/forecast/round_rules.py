"""How many rounds and processes an arm gets. Measuring and forecasting share these numbers."""

FIRST_LOOK = 6
"""The first round after which there is an interval."""
PROCESSES, PROCESSES_IF_DEAR, DEAR = 3, 2, 10.0
"""The fewest processes that an arm gets in a phase: three, or two if starting another is expected
to take more than `DEAR` seconds."""
RENEWING = 0.5
"""Largest share of the time budget that may go into new processes."""
SENTINEL_EVERY = 3
"""The A/A pair takes part in the rounds that an interval needs, then in every third. It checks the
others and should not cost as much as they do, but without an interval it checks nothing."""
CHOOSING = 0.6
"""Share of the time budget in which policies are chosen; the rest measures the chosen ones anew."""
