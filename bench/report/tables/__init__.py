"""Every table of a report, one module per table or group of tables."""
