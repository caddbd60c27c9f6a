"""Pages, plots and files made of results; a report imports results, never the reverse."""
