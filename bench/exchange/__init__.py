"""Others' files in and ours out: timm's CSV, packs and known counts."""
