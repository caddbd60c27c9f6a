"""Reading every file of a data set before training does, and telling what is wrong with it."""

from .result import CheckResult as CheckResult
from .result import CheckOptions as CheckOptions
from .check import check_data as check_data
