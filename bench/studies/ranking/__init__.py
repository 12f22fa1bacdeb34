"""Studies that rank families against each other."""
