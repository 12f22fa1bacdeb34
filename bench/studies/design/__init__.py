"""Studies of ConvMixer's own design choices."""
