"""Find circles among all imports of the package, those in functions and for types alone too.

    python tools/import_circles.py

Import-linter's layers say which package may import which; this looks at single modules, so that
no import is hidden in a function, or under ``TYPE_CHECKING``, to avoid a circle. Exit status 1 if
there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import grimp

PACKAGE = "video_mobile_former"


def imports_of(package: str) -> dict[str, set[str]]:
    """What every module imports of the same package, wherever in its text."""
    graph = grimp.build_graph(package, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches all others of its group, largest first."""
    reached = {module: _reached(module, imports) for module in imports}
    groups = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in imports
    }
    return sorted((sorted(group) for group in groups if group), key=len, reverse=True)


def _reached(module: str, imports: Mapping[str, set[str]]) -> set[str]:
    """All modules that one imports, directly or through others."""
    found: set[str] = set()
    waiting = set(imports[module])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting |= imports[other]
    return found


def main() -> int:
    """Print the circles, one a line."""
    found = circles(imports_of(PACKAGE))
    for group in found:
        print(f"{len(group)} modules import each other: {', '.join(group)}")
    print(f"import circles: {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
