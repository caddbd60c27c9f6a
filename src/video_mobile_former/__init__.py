"""Video Mobile-Former: action recognition in video on small hardware (arXiv 2208.12257).

The names below are the public interface; ``docs/api.md`` describes them. Each is imported when it
is first used, so that a process that only reads video loads no model.
"""

import importlib as _importlib
from typing import TYPE_CHECKING

from .clip_spec import ClipSpec as ClipSpec
from .errors import UserError as UserError
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .data.index.index import load_index as load_index
    from .evaluation.evaluate import evaluate as evaluate
    from .export.exporting import export_model as export_model
    from .export.loading import load_model as load_model
    from .export.request import ExportRequest as ExportRequest
    from .inference.predictor import Prediction as Prediction
    from .inference.predictor import Predictor as Predictor
    from .inference.stream import StreamPredictor as StreamPredictor
    from .models.mobile_former import load_mobile_former as load_mobile_former
    from .models.registry import create_model as create_model
    from .models.registry import list_models as list_models
    from .models.registry import register_model as register_model
    from .models.video_mobile_former import VideoMobileFormer as VideoMobileFormer
    from .models.video_model import VideoModel as VideoModel
    from .training.fit import fit as fit
    from .training.recipe.fields import Recipe as Recipe
    from .training.recipe.read import load_recipe as load_recipe
    from .training.run.callbacks import Callback as Callback

_HOMES = {
    "Callback": "training.run.callbacks",
    "ExportRequest": "export.request",
    "Prediction": "inference.predictor",
    "Predictor": "inference.predictor",
    "Recipe": "training.recipe.fields",
    "StreamPredictor": "inference.stream",
    "VideoMobileFormer": "models.video_mobile_former",
    "VideoModel": "models.video_model",
    "create_model": "models.registry",
    "evaluate": "evaluation.evaluate",
    "export_model": "export.exporting",
    "fit": "training.fit",
    "list_models": "models.registry",
    "load_index": "data.index.index",
    "load_mobile_former": "models.mobile_former",
    "load_model": "export.loading",
    "load_recipe": "training.recipe.read",
    "register_model": "models.registry",
}
"""The module of every name that is imported late."""

__all__ = ["ClipSpec", "UserError", "__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(_importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
