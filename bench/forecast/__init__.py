"""Forecast what measuring will take, from this machine's records and past runs; free of torch."""
