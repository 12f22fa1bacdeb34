"""Coverage-guided fuzzing: one target a file, `python -m tests.fuzz.records --seconds 10`.

Inputs that reach new lines of the program are kept and changed further (atheris, libFuzzer). Their
start is a sound input of each reader (tests/readers.py) and the small corpus of the target.
"""
