"""Predicting with a trained model: files in, class names and probabilities out."""

from .embedding import Embedding as Embedding
from .output import exit_status as exit_status
from .output import format_table as format_table
from .predictor import Prediction as Prediction
from .predictor import PredictionFailure as PredictionFailure
from .predictor import Predictor as Predictor
from .sources import expand_sources as expand_sources
