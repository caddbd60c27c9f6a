"""Time per operator of one forward pass, as each runtime's profiler reports it."""

from .profile import OperatorProfile as OperatorProfile
from .profile import OperatorTime as OperatorTime
from .profile import format_profile as format_profile
