"""Check if measurements on this machine can be trusted: `doctor` and `selfcheck`."""
