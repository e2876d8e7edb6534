"""Read Kubernetes objects from files, folders and standard input.

It reads YAML streams, JSON, and lists of objects (``kubectl get -o yaml`` prints one). Anything else is an error with
the file and the document, so that input is never skipped silently.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from webhook.errors import UsageError
from webhook.files.yaml import DEEPEST_NESTING, Document, StreamError, read_stream
from webhook.report.preview.manifest import Manifest
from webhook.rules.text import look_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

STANDARD_INPUT = "-"
SUFFIXES = (".yaml", ".yml", ".json")
DEFAULT_NAMESPACE = "default"
_LIST = "List"
_STREAM = "standard input"
_PIPE = "helm template CHART | pullsecrets plan -f -"
_SPACE = re.compile(r"\s*")


def read_manifests(filenames: Sequence[str], default_namespace: str = DEFAULT_NAMESPACE) -> list[Manifest]:
    """Return the objects of all ``filenames`` in their order.

    Raises UsageError for input that is not an object, and when there are no objects. A folder stands for the files in
    and below it with a suffix of manifests, sorted by name, without hidden ones. ``-`` is standard input. Objects
    without a namespace get ``default_namespace``.
    """
    manifests = [manifest for origin, text in _texts(filenames) for manifest in _read(text, origin, default_namespace)]
    if not manifests:
        origins = " and ".join(_STREAM if name == STANDARD_INPUT else name for name in filenames)
        raise UsageError(f"there is no object in {origins}: name manifests with -f, or pipe them: {_PIPE}")
    return manifests


def repeated(manifests: Iterable[Manifest]) -> list[tuple[Manifest, Manifest]]:
    """Return each repeated object, with its previous occurrence."""
    previous: dict[tuple[str, str, str, str], Manifest] = {}
    pairs: list[tuple[Manifest, Manifest]] = []
    for manifest in manifests:
        # Each creation with a generated name makes another object.
        if manifest.generated:
            continue
        if manifest.identity in previous:
            pairs.append((manifest, previous[manifest.identity]))
        previous[manifest.identity] = manifest
    return pairs


def _read(text: str, origin: str, default_namespace: str) -> Iterator[Manifest]:
    for document in _documents(text, origin):
        try:
            yield from _objects(document.value, f"{origin}, document {document.number}", default_namespace)
        except UsageError as error:
            next_command = _next_command(origin, document.line, document.line + 5)
            raise UsageError(f"{error} (line {document.line}); {next_command}") from None


def _next_command(origin: str, first: int, last: int) -> str:
    if origin == _STREAM:
        return "to see the stream, run the command before the pipe without pullsecrets"
    return f"look at it: {look_command(origin, first, last)}"


def _texts(filenames: Sequence[str]) -> Iterator[tuple[str, str]]:
    # A file that is named twice is read once, so that its objects do not count as repeated.
    for filename in dict.fromkeys(filenames):
        if filename == STANDARD_INPUT:
            yield _STREAM, _decoded(_standard_input(), _STREAM)
            continue
        path = Path(filename)
        for file in _files_below(path) if path.is_dir() else (path,):
            yield str(file), _decoded(_content(file), str(file))


def _standard_input() -> bytes:
    if sys.stdin is None:  # closed by the parent process
        return b""
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise UsageError(f"{_STREAM} cannot be read ({reason}): pipe manifests: {_PIPE}")


def _files_below(folder: Path) -> list[Path]:
    files: list[Path] = []
    # os.walk skips a folder that it cannot read, unless onerror raises.
    for parent, folders, names in os.walk(folder, onerror=_refuse_folder):
        # os.walk descends into the folders that are left in this list, in its order.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(parent, name) for name in sorted(names) if name.endswith(SUFFIXES) and not name.startswith(".")]
    if not files:
        raise UsageError(
            f"the folder {folder} does not contain a file that ends in {', '.join(SUFFIXES)}: name another with -f"
        )
    return files


def _refuse_folder(error: OSError) -> NoReturn:
    raise UsageError(f"the folder {error.filename} cannot be read ({error.strerror}): name another with -f") from None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError:  # an incomplete character, or NUL
        reason = "that is not a valid file name"
    raise UsageError(f"the file {file} cannot be read ({reason}): name a file, a folder or - with -f")


def _decoded(content: bytes, origin: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The error's own message quotes the content, which may belong to a Secret.
        line = content.count(b"\n", 0, error.start) + 1
    raise UsageError(f"{origin} is not UTF-8 text (line {line}): save it as UTF-8, or name another file with -f")


def _documents(text: str, origin: str) -> Iterator[Document]:
    # YAML may begin with a brace, too. So text that is not JSON is then read as YAML.
    if text.lstrip().startswith("{"):
        documents = _json_stream(text)
        if documents is not None:
            yield from documents
            return
    try:
        yield from read_stream(text)
    except StreamError as error:
        next_command = _next_command(origin, error.line - 3, error.line + 1)
        if "{{" in text:
            next_command = f"a template must be rendered first: {_PIPE}"
        raise UsageError(f"{origin}, document {error.document} {error}; {next_command}") from None


def _json_stream(text: str) -> list[Document] | None:
    """Return the JSON values that follow each other in ``text``; None for other text, perhaps YAML."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unrepeated)
    values: list[Document] = []
    position, line = _after_space(text, 0), 1 + text.count("\n", 0, _after_space(text, 0))
    try:
        while position < len(text):
            value, end = decoder.raw_decode(text, position)
            values.append(Document(len(values) + 1, line, value))
            following = _after_space(text, end)
            line += text.count("\n", position, following)
            position = following
    except (ValueError, RecursionError):
        return None
    # The reader of YAML refuses deep nesting with its line.
    return values if _is_shallow([document.value for document in values]) else None


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _is_shallow(values: list[object]) -> bool:
    # Level by level, because recursion over deep nesting would exhaust the stack.
    level: list[dict[str, object] | list[object]] = [values]
    for _ in range(DEEPEST_NESTING + 1):
        children = (child for value in level for child in (value.values() if isinstance(value, dict) else value))
        level = [child for child in children if isinstance(child, dict | list)]
    return not level


def _refuse_constant(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


def _objects(document: object, origin: str, default_namespace: str) -> Iterator[Manifest]:
    if document is None:
        return
    if not isinstance(document, dict):
        raise UsageError(f"{origin} is not a Kubernetes object: it is not a mapping with apiVersion and kind")
    kind = _identifying(document, "kind", origin)
    api_version = _identifying(document, "apiVersion", origin)
    items = document.get("items")
    if kind.endswith(_LIST) and isinstance(items, list):
        # The API server leaves apiVersion and kind out of the items of a typed list, such as PodList.
        defaults = {} if kind == _LIST else {"apiVersion": api_version, "kind": kind.removesuffix(_LIST)}
        for position, item in enumerate(items, start=1):
            named = {**defaults, **item} if isinstance(item, dict) else item
            yield from _objects(named, f"{origin}, item {position}", default_namespace)
        return
    yield _manifest(document, api_version, kind, origin, default_namespace)


def _identifying(fields: Mapping[str, object], field: str, origin: str, parent: str = "") -> str:
    value = fields.get(field)
    if value is None or value == "":
        raise UsageError(f"{origin} is not a Kubernetes object: it has no {parent}{field}")
    # The text is printed in tables, so it must not contain control sequences for a terminal.
    if not isinstance(value, str) or not value.isprintable():
        raise UsageError(f"{origin} is not a Kubernetes object: its {parent}{field} is not printable text")
    return value


def _manifest(
    document: Mapping[str, object], api_version: str, kind: str, origin: str, default_namespace: str
) -> Manifest:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise UsageError(f"{origin} is not a Kubernetes object: it has no metadata")
    generated = not metadata.get("name") and bool(metadata.get("generateName"))
    name = _identifying(metadata, "generateName" if generated else "name", origin, "metadata.")
    namespace = default_namespace
    if metadata.get("namespace"):
        namespace = _identifying(metadata, "namespace", origin, "metadata.")
    if kind == "Namespace" and api_version == "v1":
        namespace = name
    return Manifest(api_version, kind, namespace, name, document, origin, generated)
