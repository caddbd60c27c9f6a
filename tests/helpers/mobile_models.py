"""Small models and requests for the tests of the mobile targets."""

from __future__ import annotations

import torch

from video_mobile_former.models.variants import down, lite, mobile
from video_mobile_former.models.video_mobile_former import VideoMobileFormer


def small_model(*, every_kind: bool = False) -> VideoMobileFormer:
    """A model with tokens, groups and shuffles on clips of 3 × 32².

    Args:
        every_kind: With a block that halves height and width; lowering takes twice as long then.
    """
    rest = (down(2, 16, expand2=2),) if every_kind else ()
    torch.manual_seed(0)
    model = VideoMobileFormer(
        blocks=(lite(2, 8, stride=2), mobile(2, 8), *rest),
        stem_channels=4,
        num_classes=4,
        num_tokens=2,
        token_dim=16,
        groups=2,
        head_dim=16,
        num_frames=3,
        crop_size=32,
    )
    with torch.no_grad():
        model(torch.randn(4, 3, 3, 32, 32))
        torch.nn.init.normal_(model.classifier.weight)
    model.class_names = ("north", "öst", "south", "west")
    return model.eval()
