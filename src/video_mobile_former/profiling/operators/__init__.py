"""Where the time of one forward pass goes, operator by operator, as each runtime tells it."""

from .profile import OperatorProfile as OperatorProfile
from .profile import OperatorTime as OperatorTime
from .profile import format_profile as format_profile
