"""Which clips there are, with which labels: lists and folders in, an index out."""
