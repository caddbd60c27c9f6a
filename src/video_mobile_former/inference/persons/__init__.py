"""Recognition per person: boxes or a detector, tracks, steady crops, one answer a track."""
