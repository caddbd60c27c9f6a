"""A model as bytes: what every worker loads, on whatever machine it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import CheckpointError, UserError
from ...models.locate import CONFIG_NAME, WEIGHTS_NAME, checkpoint_folder
from ...untrusted import read_bytes


@dataclass(frozen=True)
class ModelFiles:
    """The files of a checkpoint or an artefact.

    Workers load these bytes and not the path, so that all of them, on all machines and on every
    day of a long run, have the weights that the run began with.
    """

    name: str
    """As it was given."""
    main: str
    """Name of the artefact among the files; empty for a checkpoint, which is their folder."""
    files: dict[str, bytes] = field(repr=False)

    @classmethod
    def read(cls, name: str) -> ModelFiles:
        """Read what a name stands for.

        Args:
            name: A checkpoint folder, the folder of a run, a Hub id, or an artefact.

        Raises:
            UserError: If it is none of these or cannot be read.
        """
        path = Path(name)
        if path.is_file():
            return cls(name, path.name, {file.name: read_bytes(file) for file in _parts(path)})
        folder = checkpoint_folder(name)
        missing = [n for n in (CONFIG_NAME, WEIGHTS_NAME) if not (folder / n).is_file()]
        if missing:
            what = "no such file or folder" if not folder.exists() else f"no {missing[0]} in it"
            raise CheckpointError(
                f"{name}: {what}; give a checkpoint folder, as runs/x/best, or an artefact"
            )
        names = (CONFIG_NAME, WEIGHTS_NAME)
        return cls(name, "", {each: read_bytes(folder / each) for each in names})

    def unpacked(self, folder: Path) -> Path:
        """Write them into an empty folder.

        Returns:
            The path to load.

        Raises:
            UserError: If the system refuses to write.
        """
        try:
            for name, data in self.files.items():
                (folder / name).write_bytes(data)
        except OSError as error:
            raise UserError(f"cannot write the model into {folder}: {error.strerror}") from error
        return folder / self.main if self.main else folder

    @property
    def digest(self) -> str:
        """Of names and contents, 16 characters."""
        digest = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            # An artefact that was renamed is the same.
            ending = name.removeprefix(self.main.partition(".")[0]) if self.main else name
            digest.update(f"{ending}\n{len(data)}\n".encode())
            digest.update(data)
        return digest.hexdigest()[:16]


def _parts(path: Path) -> list[Path]:
    """An artefact, its description, and the weights of OpenVINO's."""
    beside = [path, path.with_name(f"{path.name}.json"), path.with_suffix(".bin")]
    return [file for file in beside if file == path or file.is_file()]
