"""From what stands for a checkpoint to its folder: itself, a run's folder, or a Hub repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import CheckpointError

CONFIG_NAME, WEIGHTS_NAME, CARD_NAME = "config.json", "model.safetensors", "README.md"
"""The three files of a checkpoint folder."""

HUB_PREFIX = "hf://"
"""What a repository on the Hugging Face Hub may begin with; needed where a folder has its name."""

_KEPT = ("best", "last")
"""Checkpoints in the folder of a run, the one it stands for first."""

_REPOSITORY = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def checkpoint_folder(name: str | Path, **hub: Any) -> Path:
    """Find the folder that holds a checkpoint.

    Args:
        name: A checkpoint folder; the folder of a training run, which stands for its ``best``
            checkpoint, or ``last`` where it validated nothing; or a repository on the Hub as
            ``user/name``, ``user/name@revision`` or ``hf://user/name``.
        hub: For the Hub: ``revision``, ``token``, ``cache_dir``, ``force_download``,
            ``local_files_only``. ``HF_HUB_OFFLINE=1`` is honoured.

    Returns:
        A folder on this machine. The network is used only for a repository that is named by its
        prefix, or of whose name neither the whole nor the first part is a local folder.

    Raises:
        CheckpointError: If there is nothing of that name.
    """
    path = Path(name)
    repository = hub_repository(name)
    if repository is not None:
        named, revision = repository
        return _from_hub(named, **hub | ({} if revision is None else {"revision": revision}))
    if path.is_dir() and not (path / CONFIG_NAME).exists():
        for kept in _KEPT:
            if (path / kept / CONFIG_NAME).is_file():
                return path / kept
    return path


def hub_repository(name: str | Path) -> tuple[str, str | None] | None:
    """The Hub repository and revision that a name stands for; None where it is a local path."""
    text = str(name)
    explicit = text.startswith(HUB_PREFIX)
    found = _REPOSITORY.fullmatch(text.removeprefix(HUB_PREFIX))
    if explicit and found is None:
        raise CheckpointError(f"{text}: a repository on the Hub is written hf://user/name@revision")
    if found is None or (not explicit and (isinstance(name, Path) or _looks_local(text))):
        return None
    return found["id"], found["revision"]


def _looks_local(text: str) -> bool:
    owner, _, name = text.partition("/")
    # A checkpoint of a run that is not there is a mistyped path.
    ours = owner in (".", "..", "~") or name in _KEPT
    return ours or Path(text).exists() or Path(owner).exists()


def _from_hub(repository: str, *, revision: str | None = None, **hub: Any) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    files = [CONFIG_NAME, WEIGHTS_NAME, CARD_NAME]
    named = repository if revision is None else f"{repository}@{revision}"
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=files, **hub))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"no folder {repository}, and the Hub's repository of that name is not in the local "
            "cache and cannot be reached (HF_HUB_OFFLINE, or no network)"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"no folder {repository}, and repository {named} on the Hub cannot be read: {reason}"
        ) from error
