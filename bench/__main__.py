"""`python -m bench`."""

from bench.cli import script

if __name__ == "__main__":
    script()
