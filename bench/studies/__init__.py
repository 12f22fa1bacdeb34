"""One file per study: a question that is asked of the records, found by the registry."""
