"""From records to rows: summary, run quality, published values and changes."""
