"""Video Mobile-Former: action recognition in video on small hardware (arXiv 2208.12257)."""

from .clip import ClipSpec as ClipSpec
from .errors import UserError as UserError
from .models import VideoMobileFormer as VideoMobileFormer
from .models import create_model as create_model
from .models import list_models as list_models
from .models import load_checkpoint as load_checkpoint
from .models import load_mobile_former as load_mobile_former
from .version import __version__ as __version__

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
