"""Which backbone, under given limits: candidates, their measuring, and the answer."""
