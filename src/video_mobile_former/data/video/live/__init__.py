"""Video that arrives while it is watched: cameras, addresses, screens, pipes, folders."""

from .address import Address as Address
from .address import read_addresses as read_addresses
from .settings import LiveSettings as LiveSettings
from .source import LiveFrame as LiveFrame
from .source import LiveSource as LiveSource
from .source import SourceLostError as SourceLostError
