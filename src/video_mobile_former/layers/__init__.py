"""The building blocks of Video Mobile-Former; each file gives its equation and source."""
