"""Studies of speed, which train nothing."""
