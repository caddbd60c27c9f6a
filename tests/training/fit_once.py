"""A script that trains by its arguments, as `vmf train` does: to be killed, or run by DDP.

With ``--frozen-norms`` first, BatchNorm uses its running statistics, so that what a clip gives
does not depend on which other clips share its process.
"""

from __future__ import annotations

import sys
from typing import Any

from torch.nn.modules.batchnorm import _BatchNorm

from video_mobile_former.training import fit as fit_module
from video_mobile_former.training.recipe import recipe_from_cli


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


def main() -> int:
    words = sys.argv[1:]
    if words[0] == "--frozen-norms":
        freeze_norms()
        words = words[1:]
    try:
        fit_module.fit(recipe_from_cli(words))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
