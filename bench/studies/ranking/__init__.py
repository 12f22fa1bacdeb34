"""Studies that rank families of models."""
