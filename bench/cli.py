"""How long a person waits for a command: `kubeoc get tasks` against a running plane, and `kubeoc --help`.

    python bench/cli.py

Starts a plane behind in a temporary folder, applies ten Tasks and runs each command 20 times, one after the other.
Wall time and CPU (user and system of the command's own process) are medians; `least` is the shortest wall time, which
is what a machine that does nothing else would show. `python -c pass` and `import click` say how much of that is the
interpreter and the library that every command needs.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stage

KUBEOC = [sys.executable, "-m", "kubeopencode.cli"]
ONE = """\
apiVersion: kubeopencode.io/v1alpha1
kind: Task
metadata: {name: task-%d}
spec: {description: do it, templateRef: {name: plain}}
"""


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU milliseconds of one run that must succeed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000, used * 1000


def row(label: str, command: list[str], environment: dict[str, str], repeat: int) -> stage.Row:
    """Medians of one command; the first run, which compiles, does not count."""
    timed(command, environment)
    runs = [timed(command, environment) for _ in range(repeat)]
    walls, used = [run[0] for run in runs], [run[1] for run in runs]
    return label, statistics.median(walls), min(walls), statistics.median(used)


def main() -> int:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        environment = {**os.environ, "KUBEOPENCODE_DATA": str(folder / "data"), "HOME": directory}
        for name in ("KUBECONFIG", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(name, None)
        subprocess.run([*KUBEOC, "up", "--detach", "--port=0"], env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            manifest = folder / "tasks.yaml"
            manifest.write_text("---\n".join(ONE % number for number in range(10)))
            apply = [*KUBEOC, "apply", "-f", str(manifest)]
            subprocess.run(apply, env=environment, check=True, stdout=subprocess.DEVNULL)
            rows = [
                row("python -c pass", [sys.executable, "-c", "pass"], environment, options.repeat),
                row("python -c 'import click'", [sys.executable, "-c", "import click"], environment, options.repeat),
                row("kubeoc --help", [*KUBEOC, "--help"], environment, options.repeat),
                row("kubeoc get tasks", [*KUBEOC, "get", "tasks"], environment, options.repeat),
            ]
        finally:
            subprocess.run([*KUBEOC, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)
    stage.table("Milliseconds a command", ("", "wall median", "wall least", "CPU median"), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
