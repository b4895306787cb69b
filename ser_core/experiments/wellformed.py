"""Whether an experiment file holds the types that it should, and names where names stand."""

import re
from pathlib import Path

from ser_core.errors import SerError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", re.ASCII)
_MEMBER = re.compile(r"[A-Za-z0-9{][A-Za-z0-9_.+{}-]*(/[A-Za-z0-9{][A-Za-z0-9_.+{}-]*){0,2}", re.ASCII)
_SOME_FOLDS = re.compile(r"[1-9][0-9]{0,3} of [1-9][0-9]{0,3}")  # the first two of six
_LISTS = ("corpora", "protocols", "features", "test_features", "models", "normalisations")
_MAPPINGS = ("networks", "recipe", "fusions")


def is_name(value: object) -> bool:
    """Return whether a value can name an experiment or a system, and so a folder: no path, and no blank.

    Examples:
        >>> is_name("nus-mlp.v2"), is_name("../x"), is_name(".."), is_name("a b")
        (True, False, False, False)
    """
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def check(path: Path, content: dict) -> None:
    """Raise unless the fields of an experiment file have their types; which names are known is not looked at.

    Args:
        path: The file, for the message.
        content: What it holds.

    Raises:
        SerError: If a field has another type, or what names a folder is no name.

    Examples:
        >>> check(Path("x.yaml"), {"name": "x", "labels": ["native"]})
        Traceback (most recent call last):
        ser_core.errors.SerError: x.yaml: 'labels' must be a name, not ['native']
    """
    for field in _LISTS:
        for value in content.get(field, []) if isinstance(content.get(field), list) else ():
            if not isinstance(value, str | None):
                raise SerError(f"{path}: '{field}' must be a list of names; it has {_short(value)}")
    for field in _MAPPINGS:
        value = content.get(field, {})
        if not isinstance(value, dict):
            fields = ", ".join(f"'{name}'" for name in _MAPPINGS)
            raise SerError(
                f"{path}: '{field}' must be a mapping, not {_short(value)}; "
                f"{fields} are mappings from names to settings"
            )
        if field != "recipe" and field in content and not value:
            raise SerError(f"{path}: '{field}' is empty; name one, or leave the field out")
    if content.get("recipe") and not content.get("networks"):
        raise SerError(f"{path}: 'recipe' holds settings of networks, and there are no 'networks'")
    for field in ("networks", "fusions"):
        for name in content.get(field, {}):
            if not is_name(name):
                raise SerError(f"{path}: {_short(name)} in '{field}' is no name; {_HOW}")
    for field, settings in (("networks", content.get("networks", {})), ("recipe", {"": content.get("recipe", {})})):
        for name, given in settings.items():
            if isinstance(given, dict) and not all(isinstance(key, str) for key in given):
                raise SerError(f"{path}: the settings of '{name or field}' must have names, not {list(given)}")
    if "question" in content and not (isinstance(content["question"], str) and content["question"].strip()):
        raise SerError(f"{path}: 'question' must be a sentence, not {_short(content['question'])}; put it in quotes")
    if not isinstance(content.get("labels", ""), str):
        raise SerError(f"{path}: 'labels' must be a name, not {_short(content['labels'])}")
    folds = content.get("folds", 5)
    for value in folds.values() if isinstance(folds, dict) else [folds]:
        some = isinstance(value, str) and _SOME_FOLDS.fullmatch(value)
        if value != "loo" and not some and (type(value) is not int or not 2 <= value <= 10_000):
            raise SerError(
                f"{path}: 'folds' must be a number, or a mapping from corpora to numbers; n_folds={_short(value)}: "
                f"expected an integer of 2 or more, or 'loo', or such as '2 of 6'; at most 10,000"
            )
    size = content.get("train_clips")
    if type(size) is int and size < 1:
        raise SerError(f"{path}: 'train_clips' must be a number from 1, not {size}")


def check_fusion(path: Path, name: str, fusion: dict) -> None:
    """Raise unless the members and the rule of a fusion are names of Runs, and one of a rule.

    Args:
        path: The file, for the message.
        name: The fusion.
        fusion: Its settings.
    """
    for member in fusion["members"]:
        if not _MEMBER.fullmatch(member):
            raise SerError(f"{path}: fusion '{name}': the member {_short(member)} is no <experiment>/<system>")
        if fusion["members"].count(member) > 1:
            raise SerError(f"{path}: fusion '{name}': the member {_short(member)} stands twice, and would count twice")
    if not isinstance(fusion["rule"], str):
        raise SerError(f"{path}: fusion '{name}': 'rule' must be a name, not {_short(fusion['rule'])}")


_HOW = "use up to 100 letters, digits, '.', '_', '+' and '-', the first a letter or a digit"


def check_own_name(path: Path) -> None:
    """Raise unless the name of an experiment file can name a folder of results.

    Args:
        path: The file.
    """
    if not is_name(path.stem):
        raise SerError(f"{path}: '{path.stem}' is no name for an experiment; {_HOW}")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."
