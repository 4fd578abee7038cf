"""kubeoc demo: the main job, on this machine. A real agent mends two small repositories, each in its own way."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kubeopencode.cli import apply, doctor, nouns, output, planes, tasks, up, wait
from kubeopencode.kube import errors, plain

NAMESPACE = "demo"
PROMPT = "Fix the failing test of this project and run the tests."
LIVE, ALONE = "fix-the-test", "fix-it-alone"
KEYS = {"google": "GOOGLE_GENERATIVE_AI_API_KEY", "amazon-bedrock": "AWS_BEARER_TOKEN_BEDROCK"}
"""Variables that hold a provider's key where they are not named after it."""


@dataclass(frozen=True)
class Model:
    """The model that the agents ask."""

    config: dict[str, Any]
    secret: dict[str, str]
    """The provider's key by the name of its variable; empty for the replay model."""


@click.command("demo")
@click.option(
    "--model",
    default=lambda: os.environ.get("MODEL", ""),
    help="provider/name of a real model, with its key in the environment.",
)
def command(model: str) -> None:
    """Run the main job: a real agent mends a failing test. Free and offline unless --model is given."""
    _ready()
    state = planes.read() or up.started(planes.folder(), up.PORT, ())
    server = plain.Door(state.server, socket=Path(state.socket), name="local plane", namespace=NAMESPACE)
    _say(1, f"the local plane is up at {state.server}; nothing leaves this machine")
    folder = planes.folder() / "workspaces" / "demo"
    _clean(server)
    repositories = [_repository(folder / name) for name in ("live", "alone")]
    _say(2, f"two git repositories with a failing test are in {folder}")
    _show_tests(repositories[0])
    with _model(model) as chosen:
        manifest = folder / "demo.yaml"
        _write(manifest, _objects(chosen, repositories))
        _say(3, f"kubeoc apply -f {manifest}")
        for document in [*_secrets(chosen), *apply.read(str(manifest))]:
            click.echo(f"    {apply.applied(server, document, NAMESPACE)}")
        _say(4, f"OpenCode works on the Task {LIVE}; this is its transcript")
        ended = [_transcript(server, LIVE), wait.until_finished(server, NAMESPACE, ALONE)]
    _say(5, "what came of it")
    _results(repositories[0], ended)
    _next(state)
    sys.exit(max(tasks.exit_code(each) for each in ended))


def _say(step: int, text: str) -> None:
    click.echo(f"\n[{step}/5] {text}")


def _ready() -> None:
    for check in doctor.CHECKS:
        finding = check()
        if finding.remedy and not finding.optional:
            raise click.ClickException(f"{finding.what}: {finding.found}. {finding.remedy}")


def _clean(server: plain.Door) -> None:
    """What an earlier demo left goes, and the namespace is there."""
    _ignore(errors.AlreadyExists, server, "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for kind in ("Task", "Agent", "AgentTemplate"):
        noun = next(noun for noun in nouns.NOUNS if noun.kind == kind)
        server.request("DELETE", noun.path(NAMESPACE), body={"kind": "DeleteOptions", "apiVersion": "v1"})


def _ignore(kind: type[errors.ApiError], server: plain.Door, method: str, path: str, body: Any) -> None:
    try:
        server.request(method, path, body=body)
    except kind:
        return


def _repository(path: Path) -> Path:
    """A fresh git repository with the project to mend."""
    from kubeopencode import replay

    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(Path(replay.__file__).parent / "demo", path, ignore=shutil.ignore_patterns("__pycache__"))
    (path / ".gitignore").write_text("__pycache__/\n")
    identity = ["-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-q", "-m", "A calculator"]):
        subprocess.run(["git", *arguments], cwd=path, check=True)
    return path


def _show_tests(path: Path) -> bool:
    done = subprocess.run([sys.executable, "-m", "unittest"], cwd=path, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("AssertionError", "FAILED", "OK", "Ran"))]
    click.echo("    " + "; ".join(lines))
    return done.returncode == 0


@contextmanager
def _model(name: str) -> Generator[Model]:
    """The model of that name, or the replay model while the demo runs."""
    if name:
        provider = name.partition("/")[0]
        variable = KEYS.get(provider, provider.upper().replace("-", "_") + "_API_KEY")
        if not os.environ.get(variable):
            raise click.ClickException(f"the model {name} needs its key in the variable {variable}")
        yield Model({"model": name, "small_model": name}, {variable: os.environ[variable]})
        return
    with _replaying() as url:
        models = {"replay": {"limit": {"context": 128_000, "output": 8_192}, "cost": {"input": 1, "output": 2}}}
        options = {"baseURL": url, "apiKey": "none-needed"}
        replay = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": models}
        yield Model({"model": "replay/replay", "small_model": "replay/replay", "provider": {"replay": replay}}, {})


@contextmanager
def _replaying() -> Generator[str]:
    """The replay model in a thread of its own; its address."""
    from kubeopencode import replay
    from kubeopencode.replay import script, server

    parsed = script.parse((Path(replay.__file__).parent / "demo.yaml").read_text())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    model = server.ReplayServer(parsed)
    asyncio.run_coroutine_threadsafe(model.start(), loop).result()
    try:
        yield model.url
    finally:
        asyncio.run_coroutine_threadsafe(model.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _objects(model: Model, repositories: list[Path]) -> list[Any]:
    """An Agent with a live server and a template for Pods of their own, and a Task for each."""
    agent, template = (_shape(model, path) for path in repositories)
    return [
        _object("Agent", "demo", {"profile": "Mends small Python projects", **agent}),
        _object("AgentTemplate", "demo-batch", template),
        _object("Task", LIVE, {"agentRef": {"name": "demo"}, "description": PROMPT}),
        _object("Task", ALONE, {"templateRef": {"name": "demo-batch"}, "description": PROMPT}),
    ]


def _shape(model: Model, repository: Path) -> dict[str, Any]:
    offline = {"name": "OPENCODE_DISABLE_MODELS_FETCH", "value": "1"}
    shape: dict[str, Any] = {
        "workspaceDir": "/workspace",
        "config": model.config,
        "podSpec": {
            "extraVolumes": [{"name": "repository", "hostPath": {"path": str(repository)}}],
            "extraVolumeMounts": [{"name": "repository", "mountPath": "/workspace"}],
        },
    }
    if model.secret:
        keys = [{"name": name, "secretRef": {"name": "model", "key": name}, "env": name} for name in model.secret]
        return shape | {"credentials": keys}
    shape["podSpec"]["extraEnv"] = [offline]
    return shape


def _secrets(model: Model) -> list[Any]:
    """The Secret with the provider's key. It goes to the server and never to the file."""
    if not model.secret:
        return []
    return [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "model"}, "stringData": model.secret}]


def _object(kind: str, name: str, spec: dict[str, Any]) -> Any:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "kubeopencode.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def _write(path: Path, objects: list[Any]) -> None:
    path.write_text("---\n".join(output.as_yaml(each) for each in objects))


def _transcript(server: plain.Door, name: str) -> Any:
    for found in tasks.changes(server, NAMESPACE, name):
        if found.get("status", {}).get("podName"):
            for line in tasks.follow(server, found, stay=True):
                click.echo(f"    | {line}")
            break
        if tasks.phase(found) in tasks.FINISHED:
            break
    return wait.until_finished(server, NAMESPACE, name)


def _results(repository: Path, ended: list[Any]) -> None:
    diff = subprocess.run(["git", "diff", "--stat", "-p"], cwd=repository, capture_output=True, text=True, check=True)
    for line in diff.stdout.splitlines():
        click.echo(f"    {line}")
    _show_tests(repository)
    for found in ended:
        click.echo(f"    {found['metadata']['name']}: {tasks.why(found)} ({tasks.summary(found)})")


def _next(state: planes.State) -> None:
    click.echo(f"\n$ kubectl get tasks -n {NAMESPACE}")
    kubectl = shutil.which("kubectl")
    if kubectl:
        subprocess.run([kubectl, "--kubeconfig", state.kubeconfig, "get", "tasks", "-n", NAMESPACE], check=False)
    else:
        server = plain.Door(state.server, socket=Path(state.socket))
        output.print_table(server.table(tasks.TASK.path(NAMESPACE)), wide=False, namespaces=False)
    click.echo(
        f"\nTry next (the plane stays up until `kubeoc down`):\n"
        f"  export KUBECONFIG={state.kubeconfig}\n"
        f"  kubectl describe task {LIVE} -n {NAMESPACE}\n"
        f"  kubeoc logs {LIVE} -n {NAMESPACE}\n"
        f"  MODEL=anthropic/claude-sonnet-4-5 ANTHROPIC_API_KEY=... make demo"
    )
