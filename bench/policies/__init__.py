"""Execution policies, one file each. Switches are combined with `+`: `bf16+channels_last`."""
