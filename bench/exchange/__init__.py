"""Exchange results with others: CSV files in timm's columns, packs, and known counts."""
