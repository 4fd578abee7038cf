"""kubeoc apply: create or change objects from YAML, by server-side apply."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click

from kubeopencode.cli import nouns, target
from kubeopencode.kube import plain

SUFFIXES = (".yaml", ".yml", ".json")


@click.command("apply")
@click.option("-f", "--filename", "files", multiple=True, required=True, help="File, folder, or - for standard input.")
@click.option("-n", "--namespace", default="", help="Namespace for objects that name none.")
@click.option("--dry-run", is_flag=True, help="Let the server check everything and keep nothing.")
def command(files: tuple[str, ...], namespace: str, dry_run: bool) -> None:
    """Create or change objects from YAML or JSON."""
    server = target.door()
    documents = [document for name in files for document in read(name)]
    for document in documents:
        click.echo(applied(server, document, namespace, dry_run=dry_run))


def applied(server: plain.Door, document: Any, namespace: str = "", *, dry_run: bool = False) -> str:
    """Apply one object and say what became of it."""
    noun = nouns.of_kind(server, document["apiVersion"], document["kind"])
    meta = document["metadata"]
    place = meta.get("namespace") or target.namespace(namespace, server)
    if not noun.namespaced:
        # Older manifests give a cluster-scoped object a namespace.
        meta.pop("namespace", None)
    query = {"fieldManager": "kubeoc", "force": "true", "fieldValidation": "Strict"}
    if dry_run:
        query["dryRun"] = "All"
    path = noun.path(place, meta["name"])
    answer = server.request("PATCH", path, query=query, body=document, kind="application/apply-patch+yaml")
    group = f".{noun.group}" if noun.group else ""
    suffix = " (dry run)" if dry_run else ""
    return f"{noun.kind.lower()}{group}/{answer['metadata']['name']} applied{suffix}"


def read(name: str) -> Iterator[Any]:
    """The objects of a file, of all YAML files of a folder, or of standard input.

    Raises:
        click.ClickException: nothing to read, not YAML, or not an object; the message names the file and the line.
    """
    import yaml

    for label, text in _texts(name):
        try:
            documents = list(yaml.safe_load_all(text))
        except yaml.MarkedYAMLError as error:
            raise click.ClickException(f"{label}: this is not YAML: {error.problem}{_place(error)}") from error
        except yaml.YAMLError as error:
            raise click.ClickException(f"{label}: this is not YAML: {' '.join(str(error).split())}") from error
        for document in documents:
            if document is not None:
                yield from _objects(label, document)


def _place(error: Any) -> str:
    mark = error.problem_mark
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _objects(label: str, document: Any) -> Iterator[Any]:
    """The object that a document is, or those of a List."""
    if not (isinstance(document, dict) and _is_text(document, "apiVersion") and _is_text(document, "kind")):
        raise click.ClickException(f"{label}: an object with apiVersion, kind and metadata is expected")
    found = cast("dict[str, Any]", document)
    if found["kind"] == "List":
        items: Any = found.get("items")
        if not isinstance(items, list):
            raise click.ClickException(f"{label}: a List has its objects in items")
        for item in cast("list[Any]", items):
            yield from _objects(label, item)
        return
    if not _is_text(found.get("metadata"), "name"):
        raise click.ClickException(f"{label}: metadata.name of the {found['kind']} is missing; a text is expected")
    yield found


def _is_text(value: Any, field: str) -> bool:
    return isinstance(value, dict) and isinstance(cast("dict[str, Any]", value).get(field), str)


def _texts(name: str) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "standard input", sys.stdin.read()
        return
    path = Path(name)
    found = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
    if not found:
        raise click.ClickException(f"{name}: no file ends in {', '.join(SUFFIXES)}")
    for each in found:
        try:
            yield str(each), each.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{each}: {error}") from error
