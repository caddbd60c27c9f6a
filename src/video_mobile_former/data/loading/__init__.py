"""From clips to batches: datasets, frame sampling, batches, loaders, failures."""
