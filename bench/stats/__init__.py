"""Pure functions of numbers, and numbers as text."""
