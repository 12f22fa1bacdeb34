"""What rows say of a claim: evidence, rules, verdicts, scales and comparison."""
