"""From video files to clips: index, decoding, sampling, transforms, batches."""
