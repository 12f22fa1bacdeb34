"""Ways to measure accuracy arms, one file each: `bench run --launcher NAME`.

Timed arms are always measured on the machine that runs the command.
"""
