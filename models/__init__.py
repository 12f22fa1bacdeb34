"""What exists: one file per family of architectures. `bench/plugins/registry.py` finds them; they import only the registry."""
