"""The parts a Video Mobile-Former is built of; see each file for its equation and source."""
