"""Reading every file of a data set before training does, and telling what is wrong with it."""

from .check import check_data as check_data
from .page import write_check as write_check
from .result import CheckOptions as CheckOptions
from .result import CheckResult as CheckResult
