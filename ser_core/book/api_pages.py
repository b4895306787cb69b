"""The pages that list the package's modules by room: rewritten from the modules that there are by ``make api``."""

import re
from pathlib import Path

from ser_core import paths

FOUNDATIONS = ("errors", "paths", "files")
"""What lies beside the rooms, in the order of imports."""


def modules(package: Path) -> list[str]:
    """Return the modules of a package without its own name, such as ``evaluation.metrics``, sorted.

    Args:
        package: Its folder.
    """
    found = []
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted(filter(None, found))


def write(root: Path) -> None:
    """Rewrite the rows of ``book/api.md`` and what follows the first heading of each page in ``book/api``.

    Args:
        root: Folder of a clone. A page's first lines are written by hand, and stay.
    """
    names = modules(root / "ser_core")

    def tops(room: str) -> list[str]:
        if room == "foundations":
            return list(FOUNDATIONS)
        return sorted({".".join(name.split(".")[:2]) for name in names if name.startswith(f"{room}.")})

    def row(match: re.Match) -> str:
        listed = ", ".join(f"{{py:mod}}`~ser_core.{name}`" for name in tops(match[1]))
        return f"| {{doc}}`api/{match[1]}` | {listed} |"

    contents = root / "book/api.md"
    contents.write_text(
        re.sub(r"^\| \{doc\}`api/(\w+)` \|.*$", row, contents.read_text(encoding="utf-8"), flags=re.MULTILINE),
        encoding="utf-8",
    )
    for page in (root / "book/api").glob("*.md"):
        lines = [page.read_text(encoding="utf-8").split("\n## ")[0].rstrip(), ""]
        for top in tops(page.stem):
            lines += [f"## {top.rpartition('.')[2]}", ""]
            for name in names:
                if name == top or name.startswith(f"{top}."):
                    lines += ["```{eval-rst}", f".. automodule:: ser_core.{name}", "   :members:", "```", ""]
        page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(paths.repository())
