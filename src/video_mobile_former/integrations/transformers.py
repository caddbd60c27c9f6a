"""Models of this package in Hugging Face Transformers.

    from transformers import pipeline
    from video_mobile_former import load_model
    from video_mobile_former.integrations.transformers import register, save_transformers

    save_transformers(load_model("runs/mine/best"), "folder")
    register()
    pipeline("video-classification", "folder")("clip.mp4")

The scores are those of ``vmf predict``. The folder is a checkpoint of this package as well:
``load_model`` reads it, also after ``Trainer`` has written it. It holds the code it needs, so that
``trust_remote_code=True`` makes it work where this package is not installed. Needs the extra
``transformers``; torchvision is not needed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..files import atomic_files, check_replaceable, write_json
from ..models.checkpoint import CheckpointMixin
from ..models.locate import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME
from ..models.video_model import VideoModel
from ..optional import require
from .hub_code import MODEL_FILE, hub_code

require("transformers", extra="transformers", purpose="the interface to Transformers")

from transformers import AutoConfig, AutoModelForVideoClassification  # noqa: E402
from transformers.models.auto.video_processing_auto import AutoVideoProcessor  # noqa: E402

from .transformers_model import (  # noqa: E402 - after the line that says what to install
    VideoMobileFormerConfig,
    VideoMobileFormerForVideoClassification,
    VideoMobileFormerVideoProcessor,
    config_of,
)

__all__ = [
    "VideoMobileFormerConfig",
    "VideoMobileFormerForVideoClassification",
    "VideoMobileFormerVideoProcessor",
    "config_of",
    "register",
    "save_transformers",
]
PROCESSOR_NAME = "video_preprocessor_config.json"
"""File from which Transformers reads the video processor."""


def register() -> None:
    """Make ``Auto…`` classes and ``pipeline`` of Transformers know the models of this package."""
    AutoConfig.register(VideoMobileFormerConfig.model_type, VideoMobileFormerConfig, exist_ok=True)
    AutoModelForVideoClassification.register(
        VideoMobileFormerConfig, VideoMobileFormerForVideoClassification, exist_ok=True
    )
    AutoVideoProcessor.register(
        VideoMobileFormerConfig, VideoMobileFormerVideoProcessor, exist_ok=True
    )


def save_transformers(
    model: VideoModel,
    folder: str | os.PathLike[str],
    *,
    code: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a folder that Transformers and this package load.

    Args:
        model: Any network of this package that is not fused.
        folder: Where to write; other files in it are left alone.
        code: Also write the source files that ``trust_remote_code=True`` runs, about 50.
        overwrite: Replace files that this program did not write.

    Raises:
        CheckpointError: If the model is fused, or there is code to write and its class is not one
            of this package.
        UserError: If the files cannot be written, or would replace others.
    """
    folder = Path(folder)
    sources = hub_code(type(model)) if code else {}
    names = [WEIGHTS_NAME, CARD_NAME, PROCESSOR_NAME, CONFIG_NAME, *sources]
    check_replaceable([folder / name for name in names], folder / CONFIG_NAME, overwrite=overwrite)
    with atomic_files([folder / name for name in names]) as new:
        CheckpointMixin.save_pretrained(model, new, overwrite=True)
        config = {**config_of(model).to_dict(), **model.to_config()}
        VideoMobileFormerVideoProcessor(clip=model.clip.to_dict()).save_pretrained(new)
        processor = json.loads((new / PROCESSOR_NAME).read_text(encoding="utf-8"))
        if code:
            config["auto_map"] = {
                "AutoConfig": f"{MODEL_FILE}.VideoMobileFormerConfig",
                "AutoModelForVideoClassification": (
                    f"{MODEL_FILE}.VideoMobileFormerForVideoClassification"
                ),
            }
            processor["auto_map"] = {
                "AutoVideoProcessor": f"{MODEL_FILE}.VideoMobileFormerVideoProcessor"
            }
        write_json(new / CONFIG_NAME, config)
        write_json(new / PROCESSOR_NAME, processor)
        for name, text in sources.items():
            (new / name).write_text(text, encoding="utf-8")
