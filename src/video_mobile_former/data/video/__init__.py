"""From a video file to frames: reading, decoding backends, pictures, crops."""
