"""Other efficient video networks, to compare with: a table of names, as ``variants.py`` is.

They are written from their papers on the same base class, so that data, training, evaluation and
export treat them like the family. What a paper reports stands beside each name as the paper has
it; nothing in this table was measured here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..mobile_former_lite import LITES, MobileFormerLite
from ..variants import VARIANTS
from ..video_mobile_former import VideoMobileFormer
from ..video_model import VideoModel
from .focalnet import FOCALNETS, VideoFocalNet
from .focalnet_release import load_focalnet
from .movinet import MoViNet
from .movinet_release import load_movinet, load_movinet_stream
from .movinet_stream import MoViNetStream
from .movinet_tables import MOVINETS
from .tsm import TSMS, TSMMobileNetV2
from .tsm_release import load_tsm
from .x3d import X3D, X3DS
from .x3d_release import load_x3d


@dataclass(frozen=True)
class Published:
    """An accuracy as its source states it."""

    dataset: str
    """For example ``"Kinetics-400"``."""
    top1: float
    """Top-1 accuracy in percent."""
    num_views: int
    """Clips in time of each video."""
    num_crops: int
    """Crops in space of each clip."""
    gmacs_per_view: float | None
    """Cost of one view in G multiply-accumulates, as stated; None where it is not."""
    source: str
    """Where the figures stand."""


@dataclass(frozen=True)
class Baseline:
    """One row of the table."""

    model: type[VideoModel]
    """The class."""
    arguments: dict[str, Any]
    """Its constructor arguments that make this one."""
    source: str
    """Name and paper of the method."""
    published: tuple[Published, ...] = ()
    """What was reported for it, best known source first; empty where nothing was."""
    load_public: Callable[..., VideoModel] | None = None
    """Reads the public weights, ``(path, name, *, num_classes, **overrides)``; None where there are
    none that this package reads."""


def light_cnn(variant: str) -> Baseline:
    """The convolutions of a variant alone: no tokens, no bridges, ReLU6 for dynamic ReLU."""
    arguments = {**VARIANTS[variant].arguments(), "num_tokens": 0}
    return Baseline(VideoMobileFormer, arguments, f"light 3-D CNN of {variant}")


def lite_cnn(name: str) -> Baseline:
    """EfficientNet-Lite with kernels in time alone: no tokens, no bridges."""
    arguments = {**LITES[name], "num_tokens": 0}
    return Baseline(MobileFormerLite, arguments, f"light 3-D CNN of {name}")


def movinet(name: str, top1: float, gmacs: float) -> Baseline:
    """A MoViNet base with the accuracy of the authors' release."""
    readme = "tensorflow/models, official/projects/movinet/README.md"
    published = Published("Kinetics-600", top1, 1, 1, gmacs, readme)
    arguments = MOVINETS[name].arguments()
    source = "MoViNet base (arXiv 2103.11511)"
    return Baseline(MoViNet, arguments, source, (published,), load_movinet)


def movinet_stream(name: str, top1: float, gmacs: float) -> Baseline:
    """A MoViNet stream with the accuracy of the authors' release."""
    readme = "tensorflow/models, official/projects/movinet/README.md"
    published = Published("Kinetics-600", top1, 1, 1, gmacs, readme)
    arguments = MOVINETS[name].arguments()
    source = "MoViNet stream (arXiv 2103.11511)"
    return Baseline(MoViNetStream, arguments, source, (published,), load_movinet_stream)


def x3d(name: str, top1: tuple[float, float], gmacs: float) -> Baseline:
    """An X3D with the accuracy of the authors' weights with 10 clips of 1 and of 3 crops."""
    source = "SlowFast, MODEL_ZOO.md"
    published = tuple(
        Published("Kinetics-400", accuracy, 10, crops, gmacs, source)
        for accuracy, crops in zip(top1, (1, 3), strict=True)
    )
    return Baseline(X3D, X3DS[name], "X3D (arXiv 2004.04730)", published, load_x3d)


def focalnet(name: str, top1: float | None = None) -> Baseline:
    """A Video-FocalNet, with the accuracy of the authors' weights where there are some."""
    readme = "TalalWasim/Video-FocalNets, README.md"
    published = () if top1 is None else (Published("Kinetics-400", top1, 4, 3, None, readme),)
    source = "Video-FocalNet (arXiv 2307.06947)"
    return Baseline(VideoFocalNet, FOCALNETS[name], source, published, load_focalnet)


TSM_PUBLISHED = Published(
    "Kinetics-400", 69.5, 10, 3, None, "mit-han-lab/temporal-shift-module, README.md"
)
"""Dense sampling at 256², see ``docs/baselines.md``."""

BASELINES: dict[str, Baseline] = {
    **{f"{variant}_cnn": light_cnn(variant) for variant in VARIANTS},
    **{f"{name}_cnn": lite_cnn(name) for name in ("vmf_lite0", "vmf_lite1", "vmf_lite2")},
    "x3d_xs": x3d("x3d_xs", (68.7, 69.5), 0.60),
    "x3d_s": x3d("x3d_s", (73.1, 73.5), 1.96),
    "x3d_m": x3d("x3d_m", (75.1, 76.2), 4.73),
    "movinet_a0": movinet("movinet_a0", 72.28, 2.7),
    "movinet_a1": movinet("movinet_a1", 76.69, 6.0),
    "movinet_a2": movinet("movinet_a2", 78.62, 10.0),
    "movinet_a0_stream": movinet_stream("movinet_a0", 72.05, 2.7),
    "movinet_a1_stream": movinet_stream("movinet_a1", 76.45, 6.0),
    "movinet_a2_stream": movinet_stream("movinet_a2", 78.40, 10.0),
    "tsm_mobilenetv2": Baseline(
        TSMMobileNetV2,
        TSMS["tsm_mobilenetv2"],
        "TSM-MobileNetV2 (arXiv 1811.08383)",
        (TSM_PUBLISHED,),
        load_tsm,
    ),
    "video_focalnet_t": focalnet("video_focalnet_t", 79.8),
    "video_focalnet_s": focalnet("video_focalnet_s", 81.4),
    "video_focalnet_b": focalnet("video_focalnet_b", 83.6),
    "video_focalnet_n16": focalnet("video_focalnet_n16"),
    "video_focalnet_n24": focalnet("video_focalnet_n24"),
    "video_focalnet_n32": focalnet("video_focalnet_n32"),
}
