"""The engine and the command line of convmixer-bench."""
