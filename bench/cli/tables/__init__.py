"""Tables that only the command line prints."""
