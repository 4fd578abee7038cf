"""What a Pod's volumes are made of, as the core API group spells them."""

from __future__ import annotations

import msgspec

from kubeopencode.api.meta import Json


class FieldRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field of the Pod itself, such as `status.podIP`."""

    fieldPath: str
    apiVersion: str = ""


class ResourceFieldRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container's own request or limit."""

    resource: str
    containerName: str = ""
    divisor: str | int | float = "1"


class KeyToPath(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key of a ConfigMap or Secret and the file it becomes."""

    key: str
    path: str
    mode: int | None = None


class ConfigMapSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ConfigMap as files."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    defaultMode: int | None = None
    optional: bool = False


class SecretSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A Secret as files; a projected Secret spells its name `name`, a volume spells it `secretName`."""

    secretName: str = ""
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    defaultMode: int | None = None
    optional: bool = False


class DownwardFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field of the Pod as a file."""

    path: str
    fieldRef: FieldRef | None = None
    resourceFieldRef: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fields of the Pod as files."""

    items: tuple[DownwardFile, ...] = ()
    defaultMode: int | None = None


class TokenSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token of the Pod's ServiceAccount as a file."""

    path: str
    audience: str = ""
    expirationSeconds: int = 3600


class Projection(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the sources of a projected volume."""

    configMap: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downwardAPI: DownwardSource | None = None
    serviceAccountToken: TokenSource | None = None


class ProjectedSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Several sources laid into one directory."""

    sources: tuple[Projection, ...] = ()
    defaultMode: int | None = None


class EmptyDirSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Scratch space that lives as long as the Pod."""

    medium: str = ""
    sizeLimit: str | int | float | None = None


class ClaimSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A PersistentVolumeClaim of the same namespace."""

    claimName: str
    readOnly: bool = False


class Volume(msgspec.Struct, frozen=True, omit_defaults=True):
    """A volume of a Pod; exactly one source."""

    name: str
    emptyDir: EmptyDirSource | None = None
    configMap: ConfigMapSource | None = None
    secret: SecretSource | None = None
    projected: ProjectedSource | None = None
    persistentVolumeClaim: ClaimSource | None = None
    downwardAPI: DownwardSource | None = None
    hostPath: Json | None = None
    csi: Json | None = None
    ephemeral: Json | None = None
    image: Json | None = None
    nfs: Json | None = None
