"""One file per way to execute a model. Switches combine with `+`: `bf16+channels_last`."""
