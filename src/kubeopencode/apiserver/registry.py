"""Which kinds the server serves: a fixed table plus whatever CustomResourceDefinitions add at run time.

A `Kind` is one served version of one resource. It knows where its objects are stored, how they are checked, and what a
table shows of them; it does nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kubeopencode.api.meta import Json
from kubeopencode.apiserver.schema import Schema


@dataclass(frozen=True)
class Column:
    """One printer column: `path` is a JSONPath below the object."""

    name: str
    type: str
    path: str
    description: str = ""
    priority: int = 0
    format: str = ""


@dataclass(frozen=True)
class Scale:
    """Where a kind keeps what `/scale` shows; paths with a leading dot, as a CRD writes them."""

    replicas: str
    status: str
    selector: str = ""


@dataclass(frozen=True)
class Kind:
    """One served version of one resource."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    """Whether `/status` exists and main writes leave the status alone."""
    generation: bool = False
    """Whether metadata.generation counts changes of the specification."""
    scale: Scale | None = None
    fields: tuple[str, ...] = ()
    """Field paths that can be selected by, besides name and namespace."""
    schema: Schema | None = None
    columns: tuple[Column, ...] = ()
    custom: bool = False
    storage_version: str = ""
    """The version objects are written in, when it is not this one."""
    shared: str = ""
    """The collection another kind shares with this one (events)."""
    list_name: str = ""
    only: tuple[str, ...] = ()
    """The verbs served; empty means all of them."""
    check: Callable[[Json, Json | None], object] | None = field(default=None, compare=False)

    @property
    def api_version(self) -> str:
        """`v1` for the core group, `group/version` for all others."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored_api_version(self) -> str:
        """The apiVersion inside stored objects."""
        version = self.storage_version or self.version
        return f"{self.group}/{version}" if self.group else version

    @property
    def collection(self) -> str:
        """The name of the place where objects are stored."""
        return self.shared or f"{self.group}/{self.plural}"

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return self.list_name or f"{self.kind}List"

    @property
    def one(self) -> str:
        """The singular resource name."""
        return self.singular or self.kind.lower()


def storage_preference(version: str) -> tuple[int, int, int]:
    """The sort key that puts v2 before v1 before v1beta1 before v1alpha1."""
    digits = version.lstrip("v")
    for rank, word in ((1, "beta"), (2, "alpha")):
        if word in digits:
            major, _, minor = digits.partition(word)
            return rank, -int(major or 0), -int(minor or 0)
    return (0, -int(digits), 0) if digits.isdigit() else (3, 0, 0)


class Registry:
    """All served kinds, found by their path or by their group and kind."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self._by_collection: dict[str, Kind] = {}
        self._groups: dict[str, list[str]] = {}
        self.generation = 0
        """Counts changes, so that discovery and OpenAPI documents can be cached."""
        for kind in kinds:
            self._enter(kind)
        self._recount()

    def _enter(self, kind: Kind) -> None:
        self._kinds[kind.group, kind.version, kind.plural] = kind
        if not kind.shared and not kind.storage_version:
            self._by_collection[kind.collection] = kind

    def _recount(self) -> None:
        self.generation += 1
        self._groups = {}
        for group, version, _ in self._kinds:
            versions = self._groups.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        for versions in self._groups.values():
            versions.sort(key=storage_preference)

    def install(self, kinds: list[Kind]) -> None:
        """Serve these versions of one custom resource, and only these."""
        self._forget(kinds[0].collection)
        for kind in kinds:
            self._enter(kind)
        self._recount()

    def remove(self, collection: str) -> None:
        """Serve a custom resource no longer."""
        self._forget(collection)
        self._recount()

    def _forget(self, collection: str) -> None:
        self._by_collection.pop(collection, None)
        for path in [path for path, kind in self._kinds.items() if kind.custom and kind.collection == collection]:
            del self._kinds[path]

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind behind a path."""
        return self._kinds.get((group, version, plural))

    def stored(self, collection: str) -> Kind | None:
        """The kind in whose words a collection is stored."""
        return self._by_collection.get(collection)

    def all(self) -> Iterator[Kind]:
        """Every served version of every kind."""
        return iter(self._kinds.values())

    def groups(self) -> dict[str, list[str]]:
        """Groups with their versions, the preferred one first; the core group is empty."""
        return self._groups

    def of(self, group: str, version: str) -> list[Kind]:
        """The kinds of one group version, by plural."""
        found = [kind for kind in self._kinds.values() if kind.group == group and kind.version == version]
        return sorted(found, key=lambda kind: kind.plural)
