"""Training and evaluation, under one recipe for every family; independent of runs and reports."""
