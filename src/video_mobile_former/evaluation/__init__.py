"""Evaluation of trained models on labelled clips: accuracy, cost and reports."""

from .evaluate import evaluate as evaluate
from .report.page import write_report as write_report
from .result import Evaluation as Evaluation
