"""Measuring a trained model on labelled clips, with its cost, and reporting it."""

from .evaluate import evaluate as evaluate
from .report.page import write_report as write_report
from .result import Evaluation as Evaluation
