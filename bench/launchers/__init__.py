"""One file per way to spread accuracy arms: `bench run --launcher NAME`. Timed arms are never spread."""
