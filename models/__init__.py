"""The models: one file per family of architectures, found by `bench/plugins/registry.py`."""
