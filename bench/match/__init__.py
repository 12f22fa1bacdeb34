"""Siblings of equal budget for a reference model."""
