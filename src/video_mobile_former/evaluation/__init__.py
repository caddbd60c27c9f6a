"""Measuring a trained model on labelled clips, with its cost, and reporting it."""

from .evaluator import evaluate as evaluate
from .result import Evaluation as Evaluation
