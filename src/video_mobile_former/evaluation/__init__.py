"""Measuring a trained model on labelled clips, with its cost, and reporting it."""

from .evaluate import evaluate as evaluate
from .multi_label_result import MultiLabelEvaluation as MultiLabelEvaluation
from .multi_label_result import evaluate_multi_label as evaluate_multi_label
from .result import Evaluation as Evaluation
