"""Studies: one file per question that is asked of the records, found by the registry."""
