"""One file per figure or kind of figure: a function from a summary to matplotlib figures. No torch here."""
