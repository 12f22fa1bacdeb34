"""One file per figure: a function from a summary to matplotlib figures. No torch here."""
