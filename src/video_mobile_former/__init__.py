"""Video Mobile-Former: action recognition in video on small hardware (arXiv 2208.12257)."""

import importlib as _importlib
from typing import TYPE_CHECKING

from .clip_spec import ClipSpec as ClipSpec
from .errors import UserError as UserError
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .models import VideoMobileFormer as VideoMobileFormer
    from .models import create_model as create_model
    from .models import list_models as list_models
    from .models import load_checkpoint as load_checkpoint
    from .models import load_mobile_former as load_mobile_former

__all__ = [
    "ClipSpec",
    "UserError",
    "VideoMobileFormer",
    "__version__",
    "create_model",
    "list_models",
    "load_checkpoint",
    "load_mobile_former",
]


def __getattr__(name: str) -> object:
    # Processes that only read video need no models, and the Hub's client that these bring along
    # takes 20 MB of each.
    if name in __all__:
        return getattr(_importlib.import_module(".models", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
