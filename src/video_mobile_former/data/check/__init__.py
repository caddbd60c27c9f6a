"""Checking every file of a data set before training, and reporting its problems."""

from .check import check_data as check_data
from .page import write_check as write_check
from .result import CheckOptions as CheckOptions
from .result import CheckResult as CheckResult
