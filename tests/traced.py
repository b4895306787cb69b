"""Which functions of the package a fit executes that no change of `ser_core.experiments.keys.code_of` would tell of."""

import inspect
import sys
from pathlib import Path

from ser_core.experiments import code_hash, keys

ROOT = Path(code_hash.__file__).parent.parent
# What decides nothing: dispatch by the kind of system or the name of an encoder, checks, messages, what is opened.
HARMLESS = {
    *("systems.encoders:load", "experiments.runs:how_to_make", "files.reading:notice"),
    *(f"systems.settings:Recipe.{name}" for name in ("__init__", "__post_init__", "_check_texts", "_changed")),
    *(f"systems.settings:{name}" for name in ("_settings", "Augmentation.__post_init__")),
    # Where no clip is changed it is a check; where clips are changed it is hashed, which test_codehash.py holds.
    "systems.settings:Augmentation.from_mapping",
}
# Called by `ser_core.data.corpora.table`, whose tables are hashed.
HASHED = {"data.clips"}


def unnoticed(cell, fit, monkeypatch):
    """Return the functions, as module:name, that a call of ``fit`` executes and the code of a cell leaves out."""
    executed, given = set(), {}

    def profile(frame, event, _):
        name = frame.f_code.co_filename
        # The bodies of modules and classes, which an import executes, are not optimised.
        if event == "call" and name.startswith(f"{ROOT}/") and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            parts = Path(name).relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            executed.add((module, frame.f_code.co_qualname.split(".<locals>")[0]))

    def digest(roots, **how):
        given.update(reached=code_hash.reached(roots, **how), without=set(how["without"]))
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(code_hash, "digest", digest)
        keys.code_of(cell)
    sys.setprofile(profile)
    try:
        fit()
    finally:
        sys.setprofile(None)
    assert executed, "nothing of the package was executed"
    stopped = {name for name in given["without"] if not name.startswith("systems.settings:")} | HASHED
    found = set()
    for module, name in executed:
        # A method is written with its class; a comprehension at the top of a module with what it stands in.
        if {(module, name), (module, name.split(".")[0])} & set(given["reached"]) or name.startswith("<"):
            continue
        whole = {f"{module}:{name}", f"{module}:{name.split('.')[0]}"}
        if not whole & (stopped | HARMLESS) and not any(f"{module}.".startswith(f"{stop}.") for stop in stopped):
            found.add(f"{module}:{name}")
    return found
