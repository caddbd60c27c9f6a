"""Networks: the family's table is in ``variants.py``, other methods are in ``baselines``."""

from .baselines.focalnet_release import load_focalnet as load_focalnet
from .baselines.movinet_release import load_movinet as load_movinet
from .baselines.movinet_release import load_movinet_stream as load_movinet_stream
from .baselines.tsm_release import load_tsm as load_tsm
from .baselines.x3d_release import load_x3d as load_x3d
from .imagenet_weights import load_efficientnet_lite as load_efficientnet_lite
from .mobile_former import load_mobile_former as load_mobile_former
from .mobile_former_lite import MobileFormerLite as MobileFormerLite
from .registry import create_model as create_model
from .registry import list_models as list_models
from .registry import load_checkpoint as load_checkpoint
from .registry import resolve_model as resolve_model
from .streaming import StreamingVideoMobileFormer as StreamingVideoMobileFormer
from .streaming import stream_of as stream_of
from .video_mobile_former import VideoMobileFormer as VideoMobileFormer
from .video_model import VideoModel as VideoModel
