"""Tables of a pool: its machines, their speeds with rank intervals, and who is faster where."""
