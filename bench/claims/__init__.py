"""Judge claims by rows: evidence, rules, verdicts, scales of studies, and comparisons."""
