"""Whether this machine can be believed: doctor and selfcheck."""
