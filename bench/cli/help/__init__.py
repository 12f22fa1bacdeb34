"""What `--help` shows, what a mistyped command line is told, and shell completion."""
