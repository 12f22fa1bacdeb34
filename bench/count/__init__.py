"""What a model is, without a clock: multiply-adds, parameters and the module tree."""
