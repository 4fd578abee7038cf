"""Tasks with an Agent of another namespace: they get its help, and nothing that is in its namespace besides."""

from __future__ import annotations

import pytest
import pytest_asyncio

from kit.product import Place, Product, until
from kubeopencode.api import core, kinds

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOW = ["sh", "-c", 'cd "$WORKSPACE_DIR" && tail -n +1 task.md .kubeopencode/context.md notes/*']


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def platform(product: Product) -> Place:
    """The namespace of an Agent that is lent to others, with a ConfigMap that is not."""
    place = await product.place("platform")
    await place.apply(
        place.config_map("notes", private_md="nobody else's"),
        place.agent("lent", command=SHOW, allowedNamespaces=["gu*"]),
    )
    return place


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guest(product: Product) -> Place:
    """A namespace that may use the Agent."""
    place = await product.place("guest")
    await place.apply(place.config_map("notes", mine_md="my own"), place.config_map("rules", a_md="my rules"))
    return place


LENT = {"agentRef": {"name": "lent", "namespace": "platform"}}


async def test_a_tasks_contexts_come_from_its_own_namespace(platform: Place, guest: Place) -> None:
    contexts = [
        {"type": "ConfigMap", "configMap": {"name": "rules"}},
        {"type": "ConfigMap", "configMap": {"name": "notes", "key": "mine.md"}, "mountPath": "notes/mine.md"},
    ]
    done = await guest.run("files", "from afar", contexts=contexts, **LENT)
    assert done.status.podNamespace == "platform"
    shown = await platform.log(done.status.podName)
    assert "from afar" in shown
    assert "my rules" in shown
    assert "==> notes/mine.md <==\nmy own" in shown


async def test_a_folder_never_shows_the_agents_namespace(platform: Place, guest: Place) -> None:
    contexts = [
        {"type": "Text", "text": "x"},
        {"type": "ConfigMap", "configMap": {"name": "notes"}, "mountPath": "notes"},
    ]
    done = await guest.run("folder", "from afar", contexts=contexts, **LENT)
    shown = await platform.log(done.status.podName)
    assert "nobody else's" not in shown
    assert "==> notes/mine.md <==\nmy own" in shown


async def test_a_namespace_that_is_not_allowed_is_refused_without_a_pod(product: Product, platform: Place) -> None:
    stranger = await product.place("stranger")
    failed = await stranger.run("one", "let me in", "Failed", **LENT)
    assert "gu*" in failed.status.conditions[-1].message
    assert [pod for pod in await platform.pods_of("one") if "stranger" in pod.metadata.name] == []


async def test_a_deleted_task_takes_its_pod_elsewhere_along(platform: Place, guest: Place) -> None:
    done = await guest.run("short", "be gone", contexts=[{"type": "Text", "text": "x"}], phase="Failed", **LENT)
    await guest.api.delete(kinds.TASKS, "short", guest.namespace)

    async def gone() -> bool:
        return await platform.get(core.PODS, done.status.podName) is None

    await until(gone, "the Pod is gone")
    assert await platform.get(core.CONFIGMAPS, "guest-short-context") is None
