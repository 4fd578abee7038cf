"""What every concern needs to know of the Pod it adds to."""

from __future__ import annotations

from dataclasses import dataclass

from kubeopencode.api.agent import AgentShape
from kubeopencode.api.meta import Json
from kubeopencode.render import paths
from kubeopencode.render.parts import mount
from kubeopencode.world import Cluster

WORKSPACE_VOLUME = "workspace"


@dataclass(frozen=True)
class Setting:
    """One Pod's configuration and the folder it works in."""

    shape: AgentShape
    cluster: Cluster
    workspace: str

    @property
    def own_workspace(self) -> Json | None:
        """A mount that the owner placed at the workspace folder. It takes the place of the volume we would make."""
        mounts = self.shape.podSpec.extraVolumeMounts if self.shape.podSpec else ()
        return next((each for each in mounts if str(each.get("mountPath", "")).rstrip("/") == self.workspace), None)

    @property
    def workspace_mount(self) -> Json:
        """How a container gets the workspace."""
        return self.own_workspace or mount(WORKSPACE_VOLUME, self.workspace)

    @property
    def extra_mounts(self) -> list[Json]:
        """The owner's further mounts."""
        mounts = self.shape.podSpec.extraVolumeMounts if self.shape.podSpec else ()
        return [each for each in mounts if each is not self.own_workspace]


def setting(shape: AgentShape, cluster: Cluster, workspace: str) -> Setting:
    """The setting of a Pod.

    Raises:
        Refused: the workspace folder cannot be used.
    """
    return Setting(shape, cluster, paths.workspace(workspace))
