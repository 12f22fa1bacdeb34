"""Records: their format, their store on disk, one value per round, and the data frame."""
