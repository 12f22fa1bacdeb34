"""Interleaved rounds over arms that are all ready: how speeds are measured."""

from bench.run.rounds.loop import Rounds as Rounds
from bench.run.rounds.windows import sample_of as sample_of
