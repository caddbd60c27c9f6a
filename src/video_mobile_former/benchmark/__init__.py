"""Speed of models and artefacts on this machine, for ``vmf benchmark`` and ``benchmarks``."""

from .contestants import Contestant as Contestant
from .contestants import ModelChoice as ModelChoice
from .operators import profile_contestant as profile_contestant
from .prepare import prepare as prepare
from .run import check_options as check_options
from .run import time_contestants as time_contestants
from .table import format_rows as format_rows
