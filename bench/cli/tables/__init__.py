"""Tables that only the command line prints: forecasts, listings, recipes."""
