"""Watching live sources: events as they happen, and where they go."""

from .loop import SourceStatus as SourceStatus
from .loop import Watch as Watch
