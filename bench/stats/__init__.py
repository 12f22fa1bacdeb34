"""Pure functions of numbers: estimates, intervals and tests, and numbers as text."""
