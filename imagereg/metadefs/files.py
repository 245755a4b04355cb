"""Namespaces as JSON files, one in each: the form that Glance's administrators have.

A file is the body that would create its namespace.  It may also hold what only the
server sets, which is left out, and values that a database takes and the API does
not; those are brought into the form that the API has.

Source: contract api-metadefs 9.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from imagereg.errors import ConfigurationError, ImageRegError
from imagereg.metadef_model import Content, MetadefObject, Namespace, NewNamespace
from imagereg.metadefs.definitions import LINKS, as_text, parse_namespace

#: Namespaces from files belong to this project where nothing else is said.
OWNER = "admin"

Document = dict[str, Any]


def read_path(path: Path) -> Sequence[NewNamespace]:
    """Return the namespaces of a file, or of all ``*.json`` of a folder, by name.

    Raises:
        ConfigurationError: every fault of every file.
    """
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise ConfigurationError([f"{path}: holds no *.json"])
    faults, sources = list[str](), list[tuple[str, bytes]]()
    for each in paths:
        try:
            sources.append((str(each), each.read_bytes()))
        except OSError as error:
            faults.append(f"{each}: {error.strerror}")
    return _parse_all(sources, faults)


def read_builtin() -> Sequence[NewNamespace]:
    """Return the namespaces that ship with the registry."""
    folder = files("imagereg.metadefs").joinpath("catalogue")
    sources = [
        (each.name, each.read_bytes())
        for each in folder.iterdir()
        if each.name.endswith(".json")
    ]
    return _parse_all(sorted(sources), [])


def file_document(namespace: Namespace, content: Content) -> Document:
    """Return what a file says about a namespace: all but the times and links."""
    document: Document = {
        "namespace": namespace.name,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": str(namespace.visibility),
        "protected": namespace.protected,
        "owner": namespace.owner,
        "resource_type_associations": [
            _said(
                {
                    "name": each.name,
                    "prefix": each.prefix,
                    "properties_target": each.properties_target,
                }
            )
            for each in content.associations
        ],
        "properties": content.properties,
        "objects": [_object(each) for each in content.objects],
        "tags": [{"name": each.name} for each in content.tags],
    }
    kept = ("visibility", "protected")
    return {name: v for name, v in document.items() if v or name in kept}


def write_folder(
    folder: Path, namespaces: Iterable[tuple[Namespace, Content]]
) -> Sequence[Path]:
    """Write one file for each namespace, and return their paths.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for namespace, content in namespaces:
            path = folder / _file_name(namespace.name, {each.name for each in written})
            document = file_document(namespace, content)
            option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            path.write_bytes(orjson.dumps(document, option=option))
            written.append(path)
    except OSError as error:
        raise ConfigurationError([f"{folder}: {error.strerror}"]) from error
    return written


def _parse_all(
    sources: Iterable[tuple[str, bytes]], faults: list[str]
) -> Sequence[NewNamespace]:
    """Return what the sources hold; nothing, if one of them has a fault."""
    found: dict[str, NewNamespace] = {}
    for source, text in sources:
        try:
            new = parse_namespace(_soften(orjson.loads(text)))
        except orjson.JSONDecodeError as error:
            faults.append(f"{source}: not JSON: {error}")
        except ImageRegError as error:
            faults.append(f"{source}: {error.message}")
        else:
            if new.name in found:
                faults.append(f"{source}: namespace `{new.name}` is in another file")
            found[new.name] = new
    if faults:
        raise ConfigurationError(faults)
    return list(found.values())


def _soften(document: object) -> object:
    """Return a file's document as a client would have to send it."""
    if not isinstance(document, dict):
        return document
    softened = {n: v for n, v in document.items() if n not in LINKS and v is not None}
    _soften_map(softened.get("properties"))
    objects = softened.get("objects")
    for each in objects if isinstance(objects, list) else ():
        if isinstance(each, dict):
            _soften_map(each.get("properties"))
    return softened


def _soften_map(properties: object) -> None:
    if not isinstance(properties, dict):
        return
    for definition in properties.values():
        if not isinstance(definition, dict):
            continue
        # The reference's loader never looks into a definition.
        definition.pop("required", None)
        for holder in (definition, definition.get("items")):
            if isinstance(holder, dict) and isinstance(holder.get("enum"), list):
                holder["enum"] = [as_text(each) for each in holder["enum"]]


def _object(each: MetadefObject) -> Document:
    return _said(
        {
            "name": each.name,
            "description": each.description,
            "required": each.required,
            "properties": each.properties,
        }
    )


def _said(document: Mapping[str, object]) -> Document:
    return {name: value for name, value in document.items() if value is not None}


def _file_name(name: str, taken: set[str]) -> str:
    """Return a file name that every system takes, made from a namespace's."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "namespace"
    names = (
        f"{stem}{suffix}.json" for suffix in ("", *(f"-{n}" for n in range(2, 999)))
    )
    return next(each for each in names if each not in taken)
