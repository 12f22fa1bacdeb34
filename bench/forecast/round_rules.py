"""How many rounds and processes an arm gets, and how long a window lasts.

Measuring, forecasting and `bench ab` share these rules.
"""

FIRST_LOOK = 6
"""The first round after which there is an interval."""
PROCESSES, PROCESSES_IF_DEAR, DEAR = 3, 2, 10.0
"""The fewest processes that an arm gets in a phase: three, or two if starting another is expected
to take more than `DEAR` seconds."""
LIFE, SHORTEST = 2.0, 3
"""A process lives for `LIFE` times the square root of its cost in rounds of its arm. That gives the
narrowest interval per second if processes differ half as much as rounds do. It lives for at least
`SHORTEST` rounds, if there are enough."""
WINDOW_SHARE, LONGEST_WINDOW = 0.25, 1.0
"""A window lasts at least this share of the slowest arm's call, up to so many seconds. Otherwise
the noise of quick arms would decide how many of a slow arm's calls are needed."""
RENEWING, MOST_RENEWING, ENOUGH_ROUNDS = 0.5, 0.75, 8
"""Share of the time budget that may go into new processes: half of it, or up to the second where
that leaves time for `ENOUGH_ROUNDS`. A third process is worth more than rounds beyond these: with
one degree of freedom instead of two an interval is three times as wide."""
SENTINEL_EVERY = 3
"""The A/A pair takes part in the rounds that an interval needs, then in every third. It checks the
others and should not cost as much as they do, but without an interval it checks nothing."""
CHOOSING = 0.6
"""Share of the time budget in which policies are chosen; the rest measures the chosen ones anew."""


def renewing_limit(budget: float, round_s: float) -> float:
    """Return the seconds of a time budget for new processes, if a round takes `round_s` seconds."""
    spare = min(MOST_RENEWING * budget, budget - ENOUGH_ROUNDS * round_s)
    return max(RENEWING * budget, spare)


def budget_for_renewing(renewing: float, round_s: float) -> float:
    """Return the shortest time budget that leaves `renewing` seconds for new processes."""
    spare = max(renewing / MOST_RENEWING, renewing + ENOUGH_ROUNDS * round_s)
    return min(renewing / RENEWING, spare)
