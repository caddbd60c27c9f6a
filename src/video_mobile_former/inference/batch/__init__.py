"""Very many files through one model: rows that survive whatever is killed."""
