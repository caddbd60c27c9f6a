"""Completion scripts, run by the real shell where it is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from video_mobile_former.cli.main import main

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("bash") is None:
        pytest.skip("no bash on this system")
    command = [sys.executable, "-m", "video_mobile_former", "--completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    path = tmp_path_factory.mktemp("completion") / "vmf.bash"
    path.write_text(done.stdout)
    return path


def _completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word, by the function that the script registers."""
    listed = " ".join(f"'{word}'" for word in words)
    code = f"""
source '{script}'
compopt() {{ :; }}  # of the line editor, which is not running
spec=$(complete -p vmf)
name=${{spec##*-F }}; name=${{name%% *}}
COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}
"$name" vmf "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", code],
        capture_output=True,
        text=True,
        cwd=script.parent,
        check=True,
    )
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.splitlines() if word.strip()}


@pytest.mark.slow
def test_bash_completes_commands_options_values_and_files(bash_script: Path) -> None:
    assert _completed(bash_script, "vmf", "tra") == {"train"}
    assert {"evaluate", "export", "embed"} <= _completed(bash_script, "vmf", "e")
    assert {"check", "prepare", "shard"} <= _completed(bash_script, "vmf", "data", "")
    assert _completed(bash_script, "vmf", "train", "--epo") == {"--epochs"}
    assert _completed(bash_script, "vmf", "train", "--optim.warm") == {"--optim.warmup_epochs"}
    assert _completed(bash_script, "vmf", "train", "--optim.optimizer", "") == {"adamw", "sgd"}
    assert _completed(bash_script, "vmf", "predict", "vm") == {"vmf.bash"}
    assert _completed(bash_script, "vmf", "train", "vm") == {"vmf.bash"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--completion", shell])
    assert stop.value.code == 0
    said = capsys.readouterr()
    assert "vmf" in said.out
    assert said.err == ""


def test_an_unknown_shell_and_a_missing_library_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--completion", "fisch"]) == 2
    assert "--completion" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--completion", "bash"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "video-mobile-former[completion]" in line
