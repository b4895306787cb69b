"""Reading YAML: what stands twice is refused, where PyYAML would silently keep the last."""

from pathlib import Path

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from ser_core.errors import SerError

MOST_REPEATED = 10_000
"""Values that the aliases of a file may repeat, all together; nested aliases can repeat billions of them."""

# Ten times as fast as the loader in Python, where PyYAML was built with it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path | str) -> object:
    """Read a YAML file.

    Args:
        path: A file in UTF-8 with one document.

    Returns:
        What the document holds: mappings, lists, texts, numbers, truth values and dates.

    Raises:
        SerError: As `parse`, or if the file is not in UTF-8.

    Examples:
        >>> from ser_core import paths
        >>> sorted(read(paths.repository() / "_config.yml"))[:2]
        ['author', 'bibtex_bibfiles']
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SerError(f"{path}: not valid YAML (not in UTF-8: {error.reason} at byte {error.start})") from error
    return parse(text, path)


def parse(text: str, source: Path | str, *, above: int = 0) -> object:
    r"""Return what a YAML text holds.

    Args:
        text: One document.
        source: File or argument that the text is from, for messages.
        above: Lines of the source that stand above the text.

    Raises:
        SerError: If the text is not valid YAML, a mapping has a key twice, or aliases repeat more than `MOST_REPEATED`
            values.

    Examples:
        >>> parse("a: 1\nb: [2, 3]", "example")
        {'a': 1, 'b': [2, 3]}
        >>> parse("a: 1\nb: 2\na: 3", "example.yaml")
        Traceback (most recent call last):
        ser_core.errors.SerError: example.yaml, line 3: the key 'a' stands in line 1 too; keep one of them
    """
    loader = None
    try:
        loader = _Loader(text)
        if (root := loader.get_single_node()) is None:
            return None
        _refuse_expansion(root, source, above)
        _refuse_duplicates(root, loader, source, above)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark, what = error.problem_mark or error.context_mark, error.problem or error.context
        line = f"line {mark.line + 1 + above}: " if mark else ""
        raise SerError(f"{source}: not valid YAML ({line}{what})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, SerError):
            raise
        raise SerError(f"{source}: not valid YAML ({' '.join(str(error).split())})") from error
    finally:
        if loader is not None:
            loader.dispose()


def _parts(node: Node) -> list[Node]:
    """Return the nodes of which a collection consists."""
    if not isinstance(node, CollectionNode):
        return []
    return [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value


def _refuse_expansion(root: Node, source: Path | str, above: int) -> None:
    """Refuse a text whose aliases repeat too much; an alias is the node that it repeats, once more."""
    sizes: dict[int, int | None] = {}

    def size(node: Node) -> int:
        if (known := sizes.get(id(node), 0)) is None:
            line = node.start_mark.line + 1 + above
            raise SerError(f"{source}, line {line}: an alias stands within what it repeats; write out what is meant")
        if not known:
            sizes[id(node)] = None
            known = sizes[id(node)] = 1 + sum(map(size, _parts(node)))
        return known

    if size(root) - len(sizes) > MOST_REPEATED:
        raise SerError(f"{source}: its aliases repeat more than {MOST_REPEATED} values; write out what is meant")


def _refuse_duplicates(root: Node, loader: yaml.SafeLoader, source: Path | str, above: int) -> None:
    """Refuse a mapping that has a key twice; keys are compared as values, since ``1`` and ``0x1`` are one."""
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        pending += _parts(node)
        lines: dict[object, int] = {}
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            if not isinstance(key, ScalarNode):
                continue
            merge = key.tag == "tag:yaml.org,2002:merge"
            value, line = key.value if merge else loader.construct_object(key), key.start_mark.line + 1 + above
            if value in lines:
                raise SerError(
                    f"{source}, line {line}: the key '{key.value}' stands in line {lines[value]} too; keep one of them"
                )
            lines[value] = line
