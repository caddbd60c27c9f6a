"""A script that trains by its arguments, as `vmf train` does: to be killed, or run by DDP.

With ``--frozen-norms`` first, BatchNorm uses its running statistics, so that what a clip gives
does not depend on which other clips share its process. With ``--nan-in-second`` the loss of the
second process is not a number, with ``--error-in-second`` its first step raises an error.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from torch.nn.modules.batchnorm import _BatchNorm

from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.errors import UserError
from video_mobile_former.training import fit as fit_module
from video_mobile_former.training.objectives import supervised


def freeze_norms() -> None:
    build = fit_module.build_model

    def frozen(*args: Any, **options: Any) -> Any:
        model = build(*args, **options)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
                module.train = lambda mode=True, self=module: self
        return model

    fit_module.build_model = frozen


def break_second(*, error: bool) -> None:
    loss = supervised.classification_loss

    def broken(*args: Any, **options: Any) -> Any:
        found = loss(*args, **options)
        if os.environ.get("LOCAL_RANK") != "1":
            return found
        if error:
            raise UserError("its disk is full")
        return found * float("nan")

    supervised.classification_loss = broken


def main() -> int:
    words = sys.argv[1:]
    changes = {
        "--frozen-norms": freeze_norms,
        "--nan-in-second": lambda: break_second(error=False),
        "--error-in-second": lambda: break_second(error=True),
    }
    if words[0] in changes:
        changes[words.pop(0)]()
    try:
        fit_module.fit(recipe_from_words(words))
    except UserError as error:
        print(f"vmf: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
