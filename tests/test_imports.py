import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ser_core

PACKAGE = Path(ser_core.__file__).parent
ORDER = re.findall(r"\w+", ser_core.__doc__.split("its left:")[1])
# What `make book` does not need, and does not install torch for.
LEARNING = {"augmentation", "encoders", "models", "multimodal", "training"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def module(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Modules of the package that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("ser_core."))


def test_order_lists_every_module_once():
    assert sorted(ORDER) == sorted({module(path) for path in FILES})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_only_from_their_left(path):
    left = ORDER[: ORDER.index(module(path)) + 1]
    names = {name for name in imported(path) if not name.startswith("__")}
    assert names <= set(left), f"{module(path)} imports {sorted(names - set(left))} from its right"


def test_the_package_imports_without_what_the_book_does_not_install():
    files = [path for path in FILES if module(path) not in LEARNING]
    modules = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files]
    code = "import importlib, sys\n" + "\n".join(f"importlib.import_module({name!r})" for name in modules)
    code += "\nprint(*sorted({'torch', 'transformers', 'gradio', 'lightgbm', 'xgboost'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_book_documents_every_module_in_this_order():
    book = PACKAGE.parent / "book"
    pages = re.findall(r"{doc}`api/(\w+)`", (book / "api.md").read_text())
    assert sorted(pages) == sorted(path.stem for path in (book / "api").glob("*.md"))
    page = "\n".join((book / f"api/{name}.md").read_text() for name in pages)
    assert re.findall(r"^## (\w+)$", page, flags=re.MULTILINE) == [name for name in ORDER if name != "cli"]
    listed = set(re.findall(r"automodule:: ser_core\.(\S+)", page))
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__") for path in FILES}
    assert listed == names - {"cli"}


# Run as its own process: what is not in the lock file of `make book` is hidden, what the book mocks is mocked.
AUTODOC = """
import importlib, re, sys
from importlib import metadata
from pathlib import Path
import yaml
from sphinx.ext.autodoc.mock import mock

root = Path(sys.argv[1])
mocked = yaml.safe_load((root / "_config.yml").read_text())["sphinx"]["config"]["autodoc_mock_imports"]
locked = re.findall(r"^([\\w.-]+)==", (root / "requirements-book.lock").read_text(), flags=re.MULTILINE)
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
there = {*map(plain, locked), "ser-core", "setuptools"}
of = metadata.packages_distributions()
hidden = {name for name, packages in of.items() if not there & set(map(plain, packages))} - set(mocked)

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Hide())
for name in sys.argv[2:]:
    with mock(mocked):
        importlib.import_module(name)
"""


def test_the_book_can_document_every_module_with_what_it_installs():
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in FILES
    ]
    arguments = [sys.executable, "-c", AUTODOC, str(PACKAGE.parent), *names]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
