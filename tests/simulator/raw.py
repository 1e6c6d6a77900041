"""A client that keeps every byte: the reply as it came, in the chunks it came in."""

import json
import socket
import zlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import brotli
import zstandard


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    status: int
    headers: list[tuple[str, str]]  # names in lower case, in the order they came
    chunks: list[bytes]  # HTTP chunks; one for a body with a length
    complete: bool  # the end of the body came
    was_reset: bool

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def decoded(self) -> bytes:
        data = self.body
        for encoding in reversed((self.header("content-encoding") or "").split(", ")):
            data = decode(encoding, data)
        return data

    def events(self) -> list[bytes]:
        return [piece for piece in self.decoded().replace(b"\r\n", b"\n").split(b"\n\n") if piece]


def decode(encoding: str, data: bytes) -> bytes:
    match encoding:
        case "gzip":
            return zlib.decompress(data, 31)
        case "deflate":
            try:
                return zlib.decompress(data, 15)
            except zlib.error:
                return zlib.decompress(data, -15)
        case "br":
            return brotli.decompress(data)
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        case _:
            return data


def request(
    origin: str,
    path: str,
    body: object = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    timeout_s: float = 20,
) -> Raw:
    """Send one request on a connection of its own and keep what comes back."""
    parts = urlsplit(origin)
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"host": parts.netloc, "connection": "close", "content-length": str(len(payload)), **(headers or {})}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout_s) as connection:
        connection.sendall(head.encode("latin-1") + payload)
        received, was_reset = bytearray(), False
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            was_reset = True
    return _parse(bytes(received), was_reset, has_body=method != "HEAD")


def _parse(received: bytes, was_reset: bool, *, has_body: bool) -> Raw:
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    lengths = [int(value) for name, value in headers if name == "content-length"]
    chunks, complete = [rest], bool(lengths) and len(rest) == lengths[0]
    if ("transfer-encoding", "chunked") in headers:
        chunks, complete = _chunks(rest)
    elif not has_body or first.split()[1] == "204":
        complete = rest == b""
    return Raw(status=int(first.split()[1]), headers=headers, chunks=chunks, complete=complete, was_reset=was_reset)


def _chunks(rest: bytes) -> tuple[list[bytes], bool]:
    chunks: list[bytes] = []
    at = 0
    while (line_end := rest.find(b"\r\n", at)) >= 0:
        begin, size = line_end + 2, int(rest[at:line_end], 16)
        if size == 0:
            return chunks, rest[begin:] == b"\r\n"
        chunks.append(rest[begin : begin + size])
        at = begin + size + 2
        if at > len(rest):
            return chunks, False
    return chunks, False
