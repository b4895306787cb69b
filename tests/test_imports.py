import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import ser_core

PACKAGE = Path(ser_core.__file__).parent
# From the bottom up: a module imports from its own room and from those before it.
ROOMS = ("foundations", "evaluation", "data", "systems", "experiments", "book", "cli")
FOUNDATIONS = ("errors", "paths", "files")
# What `make book` does not need, and does not install torch for.
LEARNING = ("systems.augmentation", "systems.encoders", "systems.networks", "experiments.fitting.network")
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def room(name):
    first = name.split(".")[0]
    return "foundations" if first in FOUNDATIONS else first


def imported(path, *, inside):
    """Modules of the package that a file imports at its top and, if so asked, inside of functions."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if inside else tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "ser_core":
                found = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
                yield next((name for name in found if name in MODULES), "")


def test_the_package_is_ten_names_in_five_rooms():
    shown = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert shown == {"__init__.py", "cli.py", "errors.py", "paths.py", "files", *ROOMS[1:-1]}
    assert all(f"- {name}:" in ser_core.__doc__ for name in ROOMS[1:-1])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_downward_only(name):
    allowed = ROOMS[: ROOMS.index(room(name)) + 1]
    above = {other for other in imported(MODULES[name], inside=True) if other and room(other) not in allowed}
    assert not above, f"{name} imports {sorted(above)}, of a room above it"


def test_no_module_imports_itself_through_others():
    left = {name: {other for other in imported(path, inside=False) if other} - {name} for name, path in MODULES.items()}
    # What a package's __init__ hands on is imported by it, and its modules do not import from it.
    while leaves := {name for name, others in left.items() if not others & set(left)}:
        left = {name: others for name, others in left.items() if name not in leaves}
    assert not left


@pytest.mark.parametrize("name", sorted(name for name in MODULES if room(name) == "evaluation"))
def test_evaluation_needs_numpy_pandas_and_scipy_only(name):
    tree = ast.parse(MODULES[name].read_text())
    tops = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    tops |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {top.split(".")[0] for top in tops} - set(sys.stdlib_module_names)
    assert others <= {"ser_core", "numpy", "pandas", "scipy"}


def test_the_package_imports_without_what_the_book_does_not_install():
    modules = [f"ser_core.{name}" for name in MODULES if not name.startswith(LEARNING)]
    code = "import importlib, sys\n" + "\n".join(f"importlib.import_module({name!r})" for name in modules)
    code += "\nprint(*sorted({'torch', 'transformers', 'gradio', 'lightgbm', 'xgboost'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_book_documents_every_module_by_room():
    book = PACKAGE.parent / "book"
    pages = re.findall(r"{doc}`api/(\w+)`", (book / "api.md").read_text())
    assert pages == list(ROOMS[:-1])
    assert sorted(pages) == sorted(path.stem for path in (book / "api").glob("*.md"))
    for page in pages:
        listed = re.findall(r"automodule:: ser_core\.(\S+)", (book / f"api/{page}.md").read_text())
        assert sorted(listed) == sorted(name for name in MODULES if room(name) == page and name not in ROOMS)


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
    names = [f"ser_core.{name}" for name in MODULES]
    arguments = [sys.executable, "-c", AUTODOC, str(PACKAGE.parent), *names]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_whatever_is_imported_is_declared():
    root = PACKAGE.parent
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = declared["optional-dependencies"]
    plain = {name: {re.split(r"[\s\[><=;]", one)[0].lower() for one in extras[name]} for name in extras}
    core = {re.split(r"[\s\[><=;]", one)[0].lower() for one in declared["dependencies"]}
    of = {"parselmouth": ["praat-parselmouth"], **metadata.packages_distributions()}
    for base in ("ser_core", "tests", "benchmarks"):
        there = core.union(*(plain[name] for name in plain if base != "ser_core" or name != "dev"))
        for path in (root / base).rglob("*.py"):
            nodes = [
                node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
            ]
            names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
            names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
            # pytest puts the folder of a test in front of the path.
            beside = path.parent if base == "tests" else root / base
            own = {"ser_core", *(other.stem for folder in (root / base, beside) for other in folder.glob("*.py"))}
            for name in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - own:
                packages = {package.lower().replace("_", "-") for package in of.get(name, [name])}
                # What comes with every scikit-learn.
                assert packages & there or name in ("joblib", "threadpoolctl"), f"{path}: {name} is not declared"
