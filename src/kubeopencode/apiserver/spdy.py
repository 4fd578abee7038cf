"""The frames of SPDY/3.1 that port-forwarding needs. Pure: bytes in, frames out. Source: the SPDY/3.1 draft.

kubectl still speaks SPDY for port-forward, tunnelled through a WebSocket. Flow control is not used by its peers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY, DATA = 1, 2, 3, 6, 7, 0
FIN = 1
MAX_FRAME = 1 << 20
"""Bytes of one frame's payload that we accept."""

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    "iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = [word.replace("_", " ").encode() for word in _WORDS.split()]
    return b"".join(struct.pack("!I", len(word)) + word for word in words) + _TAIL.encode()


_DICTIONARY = _dictionary()


class ProtocolError(Exception):
    """The peer sent something that is no SPDY frame."""


@dataclass(frozen=True)
class Frame:
    """One frame; `headers` are those of a new stream, `data` the payload of all others."""

    kind: int
    stream: int
    flags: int = 0
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])


class Codec:
    """Both directions of one connection; header compression makes them stateful."""

    def __init__(self) -> None:
        self._buffer = b""
        self._inflate = zlib.decompressobj(zdict=_DICTIONARY)
        self._deflate = zlib.compressobj(zdict=_DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes. Raises ProtocolError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            word, rest = struct.unpack("!II", self._buffer[:8])
            flags, size = rest >> 24, rest & 0xFFFFFF
            if size > MAX_FRAME:
                raise ProtocolError(f"a frame of {size} bytes is too large")
            if len(self._buffer) < 8 + size:
                return
            payload, self._buffer = self._buffer[8 : 8 + size], self._buffer[8 + size :]
            if not word >> 31:
                yield Frame(DATA, word, flags, payload)
            else:
                yield self._control(word & 0xFFFF, flags, payload)

    def _control(self, kind: int, flags: int, payload: bytes) -> Frame:
        if len(payload) < 4:
            raise ProtocolError(f"a control frame of kind {kind} has only {len(payload)} bytes")
        stream = struct.unpack("!I", payload[:4])[0] & 0x7FFFFFFF
        if kind == SYN_STREAM:
            return Frame(kind, stream, flags, headers=self._headers(payload[10:]))
        return Frame(kind, stream, flags, payload)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            raw = self._inflate.decompress(block, MAX_FRAME)
            (count,) = struct.unpack_from("!I", raw)
            at, texts = 4, list[str]()
            for _ in range(2 * count):
                (size,) = struct.unpack_from("!I", raw, at)
                texts.append(raw[at + 4 : at + 4 + size].decode())
                at += 4 + size
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"the headers of a stream cannot be read: {error}") from error
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def reply(self, stream: int) -> bytes:
        """The acceptance of a stream."""
        block = self._deflate.compress(struct.pack("!I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return control(SYN_REPLY, struct.pack("!I", stream) + block)


def control(kind: int, payload: bytes) -> bytes:
    """A control frame."""
    return struct.pack("!HHI", 0x8003, kind, len(payload)) + payload


def data(stream: int, payload: bytes, *, last: bool = False) -> bytes:
    """A data frame; the last one closes our half of the stream."""
    return struct.pack("!II", stream, (FIN if last else 0) << 24 | len(payload)) + payload
