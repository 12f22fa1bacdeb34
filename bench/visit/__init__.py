"""Spend a few minutes on a rented machine well, and bring the results home in one file."""
