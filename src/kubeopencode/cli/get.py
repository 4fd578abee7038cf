"""kubeoc get: list objects, or one."""

from __future__ import annotations

import click

from kubeopencode.cli import nouns, output, target


@click.command("get")
@click.argument("what")
@click.argument("name", required=False, default="")
@click.option("-n", "--namespace", default="", help="Namespace; that of the context unless given.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.option("-l", "--selector", default="", help="Only objects with these labels.")
@click.option("-o", "--output", "how", default="", help=f"Format: {output.FORMATS}.")
@click.option("--wide", is_flag=True, help="More columns (the older spelling of -o wide).")
def command(what: str, name: str, namespace: str, all_namespaces: bool, selector: str, how: str, wide: bool) -> None:
    """List objects of a kind (tasks, agents, pods, ...), or show one of them."""
    server = target.door()
    if "/" in what and not name:
        what, _, name = what.partition("/")
    noun = nouns.find(server, what)
    place = "" if all_namespaces else target.namespace(namespace, server)
    path = noun.path(place, name)
    query = {"labelSelector": selector} if selector else {}
    if how not in ("", "wide"):
        prefix = f"{noun.kind.lower()}.{noun.group}" if noun.group else noun.kind.lower()
        output.print_object(server.request("GET", path, query=query), how, prefix)
        return
    table = server.table(path, query)
    if not table.get("rows"):
        where = "" if all_namespaces or not noun.namespaced else f" in {place} namespace"
        click.echo(f"No resources found{where}.", err=True)
        return
    output.print_table(table, wide=wide or how == "wide", namespaces=all_namespaces and noun.namespaced)
