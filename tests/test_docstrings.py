import importlib
import inspect
import pkgutil
import re

import pytest

import ser_core


def public():
    """Every public function, and every public method of a public class, by its full name."""
    found = {}
    # The command line's functions say what they take in the annotations that Typer prints.
    for info in pkgutil.walk_packages(ser_core.__path__, "ser_core."):
        if info.name == "ser_core.cli":
            continue
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != info.name:
                continue
            thing = inspect.unwrap(thing) if callable(thing) else thing
            if inspect.isfunction(thing):
                found[f"{info.name}.{name}"] = thing
            elif inspect.isclass(thing):
                methods = {key: value for key, value in vars(thing).items() if not key.startswith("_")}
                found |= {f"{info.name}.{name}.{k}": v for k, v in methods.items() if inspect.isfunction(v)}
    return found


FUNCTIONS = public()


def section(docstring, title):
    found = re.search(rf"^{title}:\n((?:[ ]+.*\n|\n)+)", docstring + "\n", flags=re.MULTILINE)
    return found[1] if found else None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_matches_signature(name):
    function = FUNCTIONS[name]
    docstring = inspect.getdoc(function)
    assert docstring, "no docstring"
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    arguments = section(docstring, "Args")
    if arguments is not None:
        described = re.findall(r"^[ ]{4}\*{0,2}(\w+)(?: \([^)]*\))?:", arguments, flags=re.MULTILINE)
        assert described == names
    else:
        assert len(names) < 3, f"no Args section for {names}"
    returns = signature.return_annotation
    if returns not in (None, "None"):
        sections = any(section(docstring, title) for title in ("Returns", "Yields"))
        assert sections or docstring.startswith(("Return ", "Read ", "Yield ", "Make ")), "no Returns section"
