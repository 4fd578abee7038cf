"""Registry: a catalogue of images, skills and plugins that a team may use."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from kubeopencode.api import meta
from kubeopencode.api.agent import DNS_LABEL
from kubeopencode.api.context import SecretName
from kubeopencode.api.schema import Column, list_map

ItemName = Annotated[str, Meta(pattern=DNS_LABEL, max_length=63)]


class RegistryImage(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image in the catalogue."""

    name: ItemName
    """Name in the catalogue."""
    image: str
    """Image reference."""
    metadata: dict[str, str] = {}
    """Facts for people, such as a category."""


class RegistrySkill(msgspec.Struct, frozen=True, omit_defaults=True):
    """A skill repository in the catalogue."""

    name: ItemName
    """Name in the catalogue."""
    repository: str
    """URL of the repository."""
    ref: str = ""
    """Branch, tag or commit."""
    path: str = ""
    """Folder with the skills."""
    names: tuple[str, ...] = ()
    """Only these skills."""
    description: str = ""
    """What the skills are for."""
    tags: tuple[str, ...] = ()
    """Words to find them by."""
    secretRef: SecretName | None = None
    """Secret for the repository."""


class RegistryPlugin(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plugin in the catalogue."""

    name: ItemName
    """Name in the catalogue."""
    package: str
    """npm package."""
    target: Literal["server", "tui"] = "server"
    """Where the plugin runs."""
    description: str = ""
    """What the plugin is for."""


class RegistrySpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The catalogue."""

    images: Annotated[tuple[RegistryImage, ...], list_map("name")] = ()
    """Images."""
    skills: Annotated[tuple[RegistrySkill, ...], list_map("name")] = ()
    """Skill repositories."""
    plugins: Annotated[tuple[RegistryPlugin, ...], list_map("name")] = ()
    """Plugins."""
    checkInterval: str = "10m"
    """How often the entries are checked, as a duration."""
    npmRegistryURL: str = ""
    """npm registry to ask; npm's own unless given."""


class RegistryItemStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the last check of one entry found."""

    name: str
    """Name in the catalogue."""
    phase: Literal["", "Ready", "Unavailable"] = ""
    """Ready or Unavailable."""
    lastChecked: datetime | None = None
    """When it was checked."""
    message: str = ""
    """What was found."""
    digest: str = ""
    """Digest of an image."""
    latestCommit: str = ""
    """Newest commit of a repository."""
    resolvedVersion: str = ""
    """Newest version of a plugin."""


class RegistrySummary(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The catalogue in numbers."""

    images: int = 0
    """Images."""
    skills: int = 0
    """Skill repositories."""
    plugins: int = 0
    """Plugins."""
    readyCount: int = 0
    """Entries that can be used."""
    totalCount: int = 0
    """Entries."""


class RegistryStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """State of the catalogue."""

    observedGeneration: int = 0
    """Generation of the spec that this status speaks of."""
    conditions: Annotated[tuple[meta.Condition, ...], list_map("type")] = ()
    """Ready, with a reason."""
    images: Annotated[tuple[RegistryItemStatus, ...], list_map("name")] = ()
    """State of each image."""
    skills: Annotated[tuple[RegistryItemStatus, ...], list_map("name")] = ()
    """State of each skill repository."""
    plugins: Annotated[tuple[RegistryItemStatus, ...], list_map("name")] = ()
    """State of each plugin."""
    summary: RegistrySummary | None = None
    """The catalogue in numbers."""


class Registry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A catalogue of images, skills and plugins."""

    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("reg",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Images", ".status.summary.images", "integer"),
        Column("Skills", ".status.summary.skills", "integer"),
        Column("Plugins", ".status.summary.plugins", "integer"),
        Column("Ready", ".status.summary.readyCount", "integer"),
        Column("Total", ".status.summary.totalCount", "integer"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: meta.ObjectMeta
    spec: RegistrySpec = RegistrySpec()
    """The catalogue."""
    status: RegistryStatus = RegistryStatus()
    """State of the catalogue."""
