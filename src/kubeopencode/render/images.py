"""Which image does what, and when it is pulled."""

from __future__ import annotations

from kubeopencode.agents import opencode
from kubeopencode.api.agent import AgentShape
from kubeopencode.api.meta import Json
from kubeopencode.world import Cluster

SYSTEM = "quay.io/kubeopencode/kubeopencode:latest"


def agent_images(shape: AgentShape) -> tuple[str, str]:
    """The image that brings the agent's program and the image it works in.

    An `agentImage` alone is the older form and means the image to work in, unless it is the one that brings the
    program. Source: KubeOpenCode README, "Image Resolution".
    """
    if shape.agentImage and not shape.executorImage:
        if opencode.INIT_REPOSITORY in shape.agentImage:
            return shape.agentImage, opencode.EXECUTOR_IMAGE
        return opencode.INIT_IMAGE, shape.agentImage
    return shape.agentImage or opencode.INIT_IMAGE, shape.executorImage or opencode.EXECUTOR_IMAGE


def pulled(image: str) -> Json:
    """An image and its pull policy: Always for a moving tag, IfNotPresent for a fixed one."""
    tag = image.rpartition("/")[2].partition(":")[2]
    moving = "@" not in image and tag in ("", "latest")
    return {"image": image, "imagePullPolicy": "Always" if moving else "IfNotPresent"}


def system(cluster: Cluster) -> Json:
    """The image of the containers that prepare and accompany the work."""
    return {"image": cluster.system_image.image or SYSTEM, "imagePullPolicy": cluster.system_image.imagePullPolicy}
