"""A small streaming model for exports, whose norms and gates show every mistake."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from video_mobile_former import create_model
from video_mobile_former.models.streaming import StreamingVideoMobileFormer

NAMES = ("north", "öst", "south", "west")
FEW_BLOCKS = (("lite", 3, 12, 2, 0), ("mobile", 3, 12, 1, 0), ("down", 6, 24, 2, 4))
"""Every kind of block; convolutions in time: the stem's and two more."""


def small_stream(name: str = "vmf_500m_stream", **overrides: Any) -> StreamingVideoMobileFormer:
    """A model of few blocks in eval mode, for frames of 32²."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = {"num_frames": 8, "crop_size": 32, "blocks": FEW_BLOCKS, "frames_per_update": 2}
        model = create_model(name, len(NAMES), causal=True, **{**shape, **overrides})
        assert isinstance(model, StreamingVideoMobileFormer)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 1.5)
        if model.memory is not None and model.memory.gate is not None:
            nn.init.normal_(model.memory.gate)
        nn.init.normal_(model.classifier.weight)
    model.class_names = NAMES
    model.clip = dataclasses.replace(model.clip, crop_size=32, resize_size=36)
    return model.eval()
