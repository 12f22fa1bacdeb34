"""One file per kind of figure: a function from a summary to matplotlib figures, without torch."""
