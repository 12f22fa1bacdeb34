"""Search other families for models that cost the same as a reference model."""
