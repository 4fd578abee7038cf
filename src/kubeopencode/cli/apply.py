"""kubeoc apply: create or change objects from YAML, by server-side apply."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    noun = nouns.of_kind(server, document.get("apiVersion", ""), document.get("kind", ""))
    meta = document.setdefault("metadata", {})
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
        except yaml.YAMLError as error:
            raise click.ClickException(f"{label}: this is not YAML: {error}") from error
        for document in documents:
            if document is None:
                continue
            if not _is_object(document):
                raise click.ClickException(f"{label}: an object with apiVersion, kind and metadata is expected")
            yield from document["items"] if document["kind"] == "List" else (document,)


def _is_object(document: Any) -> bool:
    return isinstance(document, dict) and {"apiVersion", "kind"} <= document.keys()


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
