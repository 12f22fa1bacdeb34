"""Studies that time, and train nothing."""
