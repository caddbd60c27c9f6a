"""The model on a CUDA device; `pytest -m gpu` where there is one."""

from __future__ import annotations

import pytest
import torch

from video_mobile_former import create_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_forms_agree_with_the_cpu() -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m", 7).eval()
    x = torch.randn(2, 3, 4, 64, 64)
    with torch.no_grad():
        expected = model(x)
        model.cuda()
        for form in ("volume", "frames", "auto"):
            model.set_form(form)
            torch.testing.assert_close(model(x.cuda()).cpu(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_learns(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m", 2).cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cuda", enabled=dtype == torch.float16)
    x, y = torch.randn(8, 3, 4, 64, 64, device="cuda"), torch.arange(8, device="cuda") % 2
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=dtype):
            loss = torch.nn.functional.cross_entropy(model(x).float(), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert all(value == value for value in losses)
    assert losses[-1] < 0.5 * losses[0]
