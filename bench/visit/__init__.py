"""A visit: a queue of commands on a rented machine, and the packs that it brings home."""
