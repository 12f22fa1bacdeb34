"""One process that measures: machine, placement, timing, memory, GPU and the worker itself."""
