"""Training and evaluation under one recipe for every family. Nothing here knows of runs, records or reports."""
