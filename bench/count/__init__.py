"""Describe a model without timing it: multiply-adds, parameters and the module tree."""
