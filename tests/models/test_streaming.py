"""Streaming models: steps equal one forward, streams are separate, nothing sees the future."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

import plain_mobile_former
from video_mobile_former import create_model, list_models, load_mobile_former
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.layers.forms import channel_shuffle
from video_mobile_former.models import load_checkpoint
from video_mobile_former.models.runnable import RunnableModel, StreamingModel, runnable
from video_mobile_former.models.streaming import (
    MemoryKind,
    StreamingVideoMobileFormer,
    causal_kernel,
    stream_of,
)
from video_mobile_former.models.variants import STREAMS, VARIANTS, StreamName
from video_mobile_former.profiling.cost import count_parameters

MEMORIES = get_args(MemoryKind)
FEW_BLOCKS = (("lite", 3, 12, 2, 0), ("mobile", 3, 12, 1, 0), ("down", 6, 24, 2, 4))
"""Every kind of block; convolutions in time: the stem's and two more."""


def small(name: str = "vmf_500m_stream", **overrides: Any) -> StreamingVideoMobileFormer:
    """A model in float64 and eval mode whose norms and gates show every mistake."""
    torch.manual_seed(0)
    shape = {"num_frames": 8, "crop_size": 64, "blocks": FEW_BLOCKS}
    model = create_model(name, 5, causal=True, **{**shape, **overrides})
    assert isinstance(model, StreamingVideoMobileFormer)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.1)
    if model.memory is not None and model.memory.gate is not None:
        nn.init.normal_(model.memory.gate)
    return model.double().eval()


def frames(batch: int = 2, count: int = 8, height: int = 33, width: int = 40) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, count, height, width, dtype=torch.float64)


def in_steps(model: StreamingModel, x: Tensor, lengths: list[int]) -> Tensor:
    """Last logits of each step, (B, steps, K)."""
    state, found = model.init_state(len(x), (x.shape[3], x.shape[4]), dtype=x.dtype), []
    for part in x.split(lengths, dim=2):
        logits, state = model.step(part, state)
        found.append(logits)
    return torch.stack(found, dim=1)


def test_every_streaming_model_is_listed() -> None:
    assert get_args(StreamName) == tuple(STREAMS)
    assert list_models("*_stream", baselines=False) == list(STREAMS)
    assert set(STREAMS.values()) <= set(VARIANTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMS)
def test_names_and_shapes_are_those_of_the_clip_model(name: str) -> None:
    with torch.device("meta"):
        stream, clip = create_model(name), create_model(STREAMS[name])
    assert isinstance(stream, StreamingVideoMobileFormer)
    own = {k: v.shape for k, v in stream.state_dict().items() if not k.startswith("memory.")}
    assert own == {k: v.shape for k, v in clip.state_dict().items()}
    row = VARIANTS[STREAMS[name]]
    memory = row.num_tokens * row.token_dim + 2 * row.token_dim  # the gate, and a LayerNorm
    assert count_parameters(stream) == count_parameters(clip) + memory
    shapes = {tuple(value.shape) for value in stream.init_state(1, 224, device="meta").values()}
    assert max(map(len, shapes)) == 4


@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize(
    ("update", "overrides"),
    [
        *((2, {"memory": kind}) for kind in MEMORIES),
        (1, {"temporal_conv": "2plus1d", "pool": "ema", "pool_seconds": 0.3}),
        (4, {"temporal_kernel": 5, "stem_temporal_kernel": 1}),
        (2, {"num_tokens": 0}),
        (8, {"bridges": "to_tokens", "activation": "relu6"}),
    ],
    ids=str,
)
def test_steps_equal_one_forward(update: int, overrides: dict[str, Any], form: str) -> None:
    model, x = small(frames_per_update=update, form=form, **overrides), frames()
    whole = model.forward_steps(x)
    assert whole.shape == (2, 8 // update, 5)
    assert update == 8 or whole.std(dim=1).min() > 1e-5
    cuts = {(update,) * (8 // update), (8,), (update, 8 - update) if update < 8 else (8,)}
    for lengths in cuts:
        last = torch.tensor(lengths).cumsum(0) // update - 1
        torch.testing.assert_close(in_steps(model, x, list(lengths)), whole[:, last])
    with torch.no_grad():  # the paths without gradients, and each stream on its own
        torch.testing.assert_close(model.forward_steps(x), whole)
        torch.testing.assert_close(model.forward_steps(x[1:]), whole[1:])
        torch.testing.assert_close(model(x), whole[:, -1])
        torch.testing.assert_close(model.fuse().forward_steps(x), whole)
        torch.testing.assert_close(in_steps(model.fuse(), x, [update] * (8 // update)), whole)
        torch.testing.assert_close(model.forward_frames(_in_a_row(x), 8), whole[:, -1])


def _in_a_row(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize("memory", ["gated", "gru"])
def test_gradients_of_steps_equal_those_of_one_forward(memory: str, form: str) -> None:
    model, x = small(frames_per_update=2, memory=memory, form=form), frames()
    weight = torch.linspace(0.1, 1, 4, dtype=torch.float64)[:, None]

    def gradients(logits: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        (logits.sin() * weight).sum().backward()
        return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}

    whole = gradients(model.forward_steps(x))
    steps = gradients(in_steps(model, x, [2, 2, 2, 2]))
    assert whole.keys() == steps.keys() == dict(model.named_parameters()).keys()
    for key, value in whole.items():
        torch.testing.assert_close(steps[key], value, msg=key)
        assert value.abs().max() > 0, key


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [{}, {"temporal_conv": "2plus1d"}, {"num_tokens": 0}], ids=str
)
@pytest.mark.parametrize("variant", ["vmf_500m", "vmf_2g"])
def test_one_update_for_the_clip_is_the_causal_clip_model(
    variant: str, overrides: dict[str, Any]
) -> None:
    row = VARIANTS[variant]
    model = small(variant, frames_per_update=8, blocks=row.blocks, **overrides)
    x = frames()
    with torch.no_grad():
        plain = plain_mobile_former.logits(
            model.state_dict(), x, blocks=row.blocks, groups=row.groups, causal=True
        )
        centred = plain_mobile_former.logits(
            model.state_dict(), x, blocks=row.blocks, groups=row.groups
        )
        torch.testing.assert_close(model(x), plain)
    assert (plain - centred).abs().max() > 1e-3


@pytest.mark.parametrize("memory", MEMORIES)
def test_memory_is_what_its_words_say(memory: str) -> None:
    """The second update, from the tokens that leave the first one, computed by hand."""
    model, x = small(frames_per_update=4, memory=memory, temporal_kernel=1), frames()
    start = model.tokens
    assert start is not None
    with torch.no_grad():
        _, left = model.forward_features(x[:, :, :4])
        assert left is not None
        if memory == "none":
            entering = start.expand(2, -1, -1)
        elif memory == "replace":
            entering = left
        else:
            assert model.memory is not None
            kept = left
            if model.memory.norm is not None:
                kept = model.memory.norm(left)
            elif model.memory.update is not None:
                kept = torch.stack(
                    [model.memory.update(one, torch.zeros_like(one)) for one in left]
                )
            gate = 1 if model.memory.gate is None else model.memory.gate
            entering = start + gate * kept
        _, state = model.step(x[:, :, :4], model.init_state(2, (33, 40)))
        second = model.step(x[:, :, 4:], state)[1]
        # Another model whose start tokens are those; without past frames its first update is it.
        plain = small(frames_per_update=4, memory="replace", temporal_kernel=1)
        for i in range(2):
            plain.load_state_dict(
                {k: v for k, v in model.state_dict().items() if not k.startswith("memory.")}
            )
            plain.tokens = nn.Parameter(entering[i])
            stem = {k: v[i : i + 1] for k, v in state.items() if k.startswith("stem")}
            fresh = plain.init_state(1, (33, 40)) | stem
            other = plain.step(x[i : i + 1, :, 4:], fresh)[1]
            tokens = other["memory"] + plain.tokens
            if memory == "replace":
                torch.testing.assert_close(second["memory"][i : i + 1] + start, tokens)
            elif model.memory is not None and model.memory.norm is not None:
                torch.testing.assert_close(second["memory"][i : i + 1], model.memory.norm(tokens))


@pytest.mark.parametrize("pool", ["mean", "ema"])
def test_head_pools_what_it_saw_with_weights_of_age(pool: str) -> None:
    model = small(frames_per_update=2, pool=pool, pool_seconds=0.5, stride=3, num_tokens=0)
    x = frames()
    with torch.no_grad():
        local, _ = model.forward_features(x)
        dealt = channel_shuffle(local, model.groups)
        features = model.head_act(model.head_conv(dealt, 8)).mean((3, 4))  # (B, 6C, T)
        state = model.step(x, model.init_state(2, (33, 40)))[1]
    age = torch.tensor([3, 3, 2, 2, 1, 1, 0, 0], dtype=torch.float64)  # in updates of 0.2 s
    weight = torch.ones(8, dtype=torch.float64) if pool == "mean" else torch.exp(-age * 0.2 / 0.5)
    wanted = (features * weight).sum(2) / weight.sum()
    torch.testing.assert_close(state["pooled"], wanted)
    torch.testing.assert_close(state["frames"], weight.sum().expand(2, 1))
    with torch.no_grad():
        torch.testing.assert_close(model.forward_head(local), model(x))


def test_features_and_head_are_the_forward_pass() -> None:
    model, x = small(frames_per_update=2), frames()
    with torch.no_grad():
        local, tokens, maps = model.forward_features(x, return_attention=True)
        torch.testing.assert_close(model.forward_head(local, tokens), model(x))
        assert model.forward_head(local, tokens, pre_logits=True).shape == (2, 1024)
    assert local.shape == (2, 24, 8, 5, 5)
    assert [int(found["block"]) for found in maps] == [1, 2, -1]
    gather = maps[-1]["mobile_to_former"]
    assert gather.shape == (2, 2, 3, 8, 5, 5)
    updates = gather.unflatten(3, (4, 2)).sum((4, 5, 6))
    torch.testing.assert_close(updates, torch.ones_like(updates))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize("update", [1, 4])
def test_no_logit_sees_a_later_frame(update: int, form: str) -> None:
    model, x = small(frames_per_update=update, form=form), frames()
    before = model.forward_steps(x)
    changed = x.clone()
    changed[:, :, 4:] += torch.randn_like(changed[:, :, 4:])
    after = model.forward_steps(changed)
    steps = 4 // update
    assert torch.equal(before[:, :steps], after[:, :steps])
    assert (before[:, steps:] - after[:, steps:]).abs().amax((0, 2)).min() > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("which", [[1], torch.tensor([False, True, False]), torch.tensor([1])])
def test_reset_of_one_stream_leaves_the_others_alone(which: Any) -> None:
    model, x = small(frames_per_update=2), frames(3)
    with torch.no_grad():
        state = model.step(x, model.init_state(3, (33, 40)))[1]
        kept = {key: value.clone() for key, value in state.items()}
        fresh = model.reset(state, which)
        logits, after = model.step(x[:, :, :4], fresh)
        undisturbed, other = model.step(x[:, :, :4], state)
        start = model.step(x[:, :, :4], model.init_state(3, (33, 40)))[0]
    for key, value in state.items():
        assert torch.equal(value, kept[key])
        assert torch.equal(after[key][[0, 2]], other[key][[0, 2]]), key
        assert not fresh[key][1].any()
    assert torch.equal(logits[[0, 2]], undisturbed[[0, 2]])
    torch.testing.assert_close(logits[1], start[1])
    assert (undisturbed[1] - start[1]).abs().max() > 1e-3


@pytest.mark.slow
def test_the_past_reaches_as_far_as_there_are_tokens() -> None:
    """What was seen before every buffer still moves the logits, by the tokens alone."""
    x = frames(1, 12)  # three temporal kernels reach six frames back
    other = torch.cat([torch.randn_like(x[:, :, :4]), x[:, :, 4:]], dim=2)
    for memory, moves in (("gated", True), ("none", False)):
        model = small(frames_per_update=1, memory=memory, pool="ema", pool_seconds=1e-4)
        with torch.no_grad():
            difference = (model(x) - model(other)).abs().max()
        assert bool(difference > 1e-9) is moves


@pytest.mark.slow
def test_float32_and_half_precision_keep_their_type() -> None:
    for dtype, limit in ((torch.float32, 1e-5), (torch.bfloat16, 0.5)):
        model = small(frames_per_update=2).to(dtype)
        x = frames().to(dtype)
        with torch.no_grad():
            whole = model.forward_steps(x)
            steps = in_steps(model, x, [2, 2, 2, 2])
            state = model.step(x, model.init_state(2, (33, 40)))[1]
        assert {value.dtype for value in state.values()} == {dtype}
        assert (whole - steps).abs().max() <= limit


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["gated", "gru"])
def test_mixed_precision_keeps_steps_equal_to_one_forward(memory: str) -> None:
    model, x = small(frames_per_update=2, memory=memory).float(), frames().float()
    with torch.autocast("cpu", torch.bfloat16):
        whole, steps = model.forward_steps(x), in_steps(model, x, [2, 2, 2, 2])
    assert whole.dtype == torch.bfloat16
    torch.testing.assert_close(steps, whole)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_gradient_checkpointing_changes_nothing(form: str) -> None:
    x, outcome = frames(), []
    for enabled in (False, True):
        model = small(frames_per_update=2, form=form, drop_path_rate=0.2).train()
        model.set_gradient_checkpointing(enabled)
        torch.manual_seed(3)
        logits = model.forward_steps(x)
        logits.square().sum().backward()
        outcome.append((logits.detach(), model))
    (a, one), (b, two) = outcome
    torch.testing.assert_close(a, b)
    for (key, p), q in zip(one.named_parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=key)
    for (key, p), q in zip(one.named_buffers(), two.buffers(), strict=True):
        torch.testing.assert_close(p, q, msg=key)


@pytest.mark.slow
def test_checkpoint_round_trip(tmp_path: Path) -> None:
    model = small("vmf_1g", frames_per_update=2, memory="gru", pool="ema", pool_seconds=3.0).float()
    model.save_pretrained(tmp_path / "stream")
    loaded = load_checkpoint(tmp_path / "stream")
    assert isinstance(loaded, StreamingVideoMobileFormer)
    assert isinstance(runnable(loaded), StreamingModel)
    assert (loaded.architecture, loaded.clip) == (model.architecture, model.clip)
    assert (loaded.clip.sampling, loaded.clip.stride_seconds) == ("dense", 4 / 30)
    x = frames().float()
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
    config = json.loads((tmp_path / "stream" / "config.json").read_text())
    assert config["architecture"]["class"] == "StreamingVideoMobileFormer"
    config["architecture"]["arguments"]["memory"] = "endless"
    (tmp_path / "stream" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="memory must be one of"):
        load_checkpoint(tmp_path / "stream")


def in_time(model: nn.Module) -> set[str]:
    """Names of the weights that reach over several frames."""
    return {k for k, v in model.state_dict().items() if v.dim() == 5 and v.shape[2] > 1}


@pytest.mark.parametrize("length", [1, 3, 5])
def test_a_centred_kernel_becomes_one_that_looks_back_only(length: int) -> None:
    """Where nothing moves, and where it never looked ahead, both give the same."""
    torch.manual_seed(0)
    weight, half = torch.randn(4, 3, length, 1, 1, dtype=torch.float64), length // 2
    moved = causal_kernel(weight)
    assert not moved[:, :, :half].any()

    def both(x: Tensor, weight: Tensor, moved: Tensor) -> list[Tensor]:
        centred = functional.conv3d(functional.pad(x, (0,) * 4 + (half, half)), weight)
        causal = functional.conv3d(functional.pad(x, (0,) * 4 + (length - 1, 0)), moved)
        return [centred, causal]

    still = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64).expand(-1, -1, 9, -1, -1)
    one, other = both(still, weight, moved)
    torch.testing.assert_close(one[:, :, half : 9 - half], other[:, :, half : 9 - half])
    weight[:, :, half + 1 :] = 0
    one, other = both(
        torch.randn(2, 3, 9, 2, 2, dtype=torch.float64), weight, causal_kernel(weight)
    )
    torch.testing.assert_close(one, other)


@pytest.mark.slow
def test_weights_of_a_clip_model_load_and_remember_nothing_at_first() -> None:
    torch.manual_seed(0)
    clip = create_model("vmf_1g", 5, num_frames=8, crop_size=64).eval()
    clip.class_names = ("a", "b", "c", "d", "e")
    stream = stream_of(clip, frames_per_update=4)
    assert (stream.class_names, stream.training) == (clip.class_names, False)
    assert not isinstance(clip, StreamingModel)
    assert isinstance(clip, RunnableModel)
    own, causal = stream.state_dict(), in_time(stream)
    assert len(causal) == 9
    for key, value in clip.state_dict().items():
        assert torch.equal(own[key], causal_kernel(value) if key in causal else value), key
    alone = stream_of(clip, frames_per_update=4, memory="none")
    x = frames().float()
    with torch.no_grad():
        torch.testing.assert_close(stream.forward_steps(x), alone.forward_steps(x))
    with pytest.raises(UserError, match="fused"):
        stream_of(clip.fuse())
    with pytest.raises(CheckpointError, match="another shape"):
        stream_of(clip, temporal_kernel=5)


@pytest.mark.slow
def test_shipped_weights_of_the_variant_start_a_stream() -> None:
    stream = create_model("vmf_500m_stream", 5, weights="procedural")
    clip = create_model("vmf_500m", 5, weights="procedural")
    own, causal = stream.state_dict(), in_time(stream)
    for key, value in clip.state_dict().items():
        moved = causal_kernel(value) if key in causal else value
        assert key.startswith("classifier.") or torch.equal(own[key], moved), key
    with pytest.raises(UserError, match="procedural weights come"):
        create_model("vmf_2g_stream", weights="procedural")


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [{}, {"temporal_conv": "2plus1d"}], ids=str)
def test_a_released_2d_model_is_inflated_at_the_newest_tap(
    shared_data: Path, overrides: dict[str, Any]
) -> None:
    golden = load_file(shared_data / "parity" / "mobile_former_26m_golden.safetensors")
    model = load_mobile_former(
        shared_data / "parity" / "mobile_former_26m.safetensors",
        "vmf_500m_stream",
        keep_classifier=True,
        frames_per_update=2,
        **overrides,
    ).eval()
    assert isinstance(model, StreamingVideoMobileFormer)
    still = golden["image"].unsqueeze(2).expand(-1, -1, 4, -1, -1)
    with torch.no_grad():
        for logits in model.forward_steps(still).unbind(1):
            torch.testing.assert_close(logits, golden["logits"], atol=1e-4, rtol=0)


def test_a_delta_start_sees_each_frame_alone() -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m_stream", 3, num_tokens=0, temporal_init="delta").eval()
    x = frames(1, 4).float()
    with torch.no_grad():
        local, _ = model.forward_features(x)
        alone, _ = model.forward_features(x[:, :, 2:3].expand(-1, -1, 4, -1, -1))
    torch.testing.assert_close(local[:, :, 2], alone[:, :, 3])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"frames_per_update": 0}, "frames_per_update must be a whole number"),
        ({"frames_per_update": 3}, r"num_frames \(16\) must be a multiple"),
        ({"memory": "much"}, "memory must be one of gated"),
        ({"pool": "max"}, "pool must be one of mean, ema"),
        ({"pool_seconds": 0}, "pool_seconds must be above 0"),
        ({"tokens_per": "frame"}, "tokens_per must be clip"),
        ({"memry": "none"}, "no argument 'memry'"),
        ({"num_token": 3}, "no argument 'num_token'"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_named(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        create_model("vmf_500m_stream", **overrides)


def test_other_methods_have_no_causal_form() -> None:
    with pytest.raises(UserError, match="x3d_s has no streaming form"):
        create_model("x3d_s", causal=True)
    assert isinstance(create_model("vmf_500m_cnn", causal=True), StreamingVideoMobileFormer)


def test_frames_and_state_that_do_not_fit_are_named() -> None:
    model, x = small(frames_per_update=2), frames()
    state = model.init_state(2, (33, 40))
    with pytest.raises(UserError, match="multiple of 2"):
        model.step(x[:, :, :3], state)
    with pytest.raises(UserError, match="call init_state"):
        model.step(x[:1], state)
    with pytest.raises(UserError, match="memory"):
        model.step(x, {key: value for key, value in state.items() if key != "memory"})
    with pytest.raises(UserError, match="a clip must be"):
        model(x[0])


@pytest.mark.slow
def test_state_is_as_large_after_ten_thousand_frames() -> None:
    model = small(frames_per_update=4, pool="ema").float().fuse()
    state = model.init_state(1, 32)
    size = {key: value.untyped_storage().nbytes() for key, value in state.items()}
    after, logits = dict[str, int](), torch.zeros(0)
    torch.manual_seed(2)
    with torch.no_grad():
        for i in range(2500):
            logits, state = model.step(torch.randn(1, 3, 4, 32, 32), state)
            if i == 1:
                after = {key: value.untyped_storage().nbytes() for key, value in state.items()}
    assert logits.isfinite().all()
    assert {key: value.untyped_storage().nbytes() for key, value in state.items()} == after
    assert {key: value.numel() for key, value in state.items()} == {
        key: value.numel() for key, value in model.init_state(1, 32).items()
    }
    assert size.keys() == after.keys()
