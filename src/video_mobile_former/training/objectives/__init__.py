"""What is learned: one objective a file, each a loss of a batch with its figures."""
