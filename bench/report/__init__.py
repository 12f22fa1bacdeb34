"""Tables, figures, page, files and citations, written from rows."""
