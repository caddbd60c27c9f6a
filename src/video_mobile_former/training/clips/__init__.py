"""Training clips, from files or procedural, as batches that can start anywhere in an epoch."""
