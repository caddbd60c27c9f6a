"""Pages, plots and files made from results; a report imports results, never the reverse."""
