"""Spend a few minutes on a rented machine as well as they can be spent, and bring the results home in one file."""
