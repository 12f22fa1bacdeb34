"""The record: its format, its store, one value per round, and the data frame."""
