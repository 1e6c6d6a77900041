"""Sending a notice: to a webhook, by mail, or into a directory. Addresses and secrets are in no error and no log."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import re
import smtplib
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from proxy.notices.notice import Notice
from proxy.sections import MailSection

TIMEOUT_S: Final = 20.0
_ANSWER_BYTES: Final = 1000
_log = logging.getLogger("joulegate.notices")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class SendingError(Exception):
    """A notice could not be sent; the message says why, without address and secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A statement as a file."""

    content: bytes
    suffix: str  # html or pdf
    media_type: str


PageOf = Callable[[Notice], Page | None]  # of a notice that has one


class Target(Protocol):
    """Where notices go."""

    def send(self, notice: Notice, created_at: datetime) -> None:
        """Send a notice; raises :class:`SendingError`."""


def name_of(notice: Notice) -> str:
    """Give the name under which a receiver knows a notice again, should it come twice."""
    return hashlib.sha256(f"{notice.event}\n{notice.subject}\n{notice.period}".encode()).hexdigest()[:32]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow none: a notice is for one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A POST of JSON. With a secret it is signed: HMAC-SHA256 of ``<seconds>.<body>``, as Stripe and others do it."""

    url: str = field(repr=False)
    secret: bytes | None = field(default=None, repr=False)
    clock: Callable[[], float]

    def send(self, notice: Notice, created_at: datetime) -> None:
        """Post it; 2xx is an answer, anything else is a failure."""
        # `text` is what Slack, Mattermost and their like show.
        document: dict[str, Any] = {
            "text": f"{notice.title}. {notice.text}",
            "event": notice.event,
            "subject": notice.subject,
            "period": notice.period,
            "title": notice.title,
            "created_at": created_at,
            "facts": notice.facts,
        }
        body = msgspec.json.encode(document)
        headers = {
            "content-type": "application/json",
            "user-agent": "joulegate",
            "idempotency-key": name_of(notice),
        }
        if self.secret is not None:
            at = int(self.clock())
            signature = hmac.new(self.secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            headers["x-joulegate-signature"] = f"t={at},v1={signature}"
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(
                urllib.request.Request(self.url, data=body, headers=headers, method="POST"),  # noqa: S310 - checked
                timeout=TIMEOUT_S,
            ) as reply:
                reply.read(_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            error.close()
            raise SendingError(f"it answered with status {error.code}") from None
        except (OSError, ValueError) as error:
            raise SendingError(_said(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message by SMTP, a statement attached."""

    server: MailSection
    password: str | None = field(default=None, repr=False)
    to: tuple[str, ...]
    page: PageOf

    def send(self, notice: Notice, created_at: datetime) -> None:
        """Hand it to the mail server."""
        message = EmailMessage()
        message["Subject"] = " ".join(notice.title.split())
        message["From"] = self.server.sender or ""
        message["To"] = ", ".join(self.to)
        message["Date"] = formatdate(created_at.timestamp())
        message["Message-ID"] = make_msgid(idstring=name_of(notice), domain="joulegate.invalid")
        message.set_content(f"{notice.text}\n")
        page = self.page(notice)
        if page is not None:
            kind, _, subtype = page.media_type.partition("/")
            message.add_attachment(page.content, maintype=kind, subtype=subtype, filename=file_name(notice, page))
        try:
            with self._connected() as server:
                if self.server.encryption == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.server.user is not None and self.password is not None:
                    server.login(self.server.user, self.password)
                refused = server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise SendingError(_said(error)) from None
        if refused:  # the others have it, so it is not sent again
            _log.warning(
                "the mail server refused %d of the %d who are told: %s", len(refused), len(self.to), notice.title
            )

    def _connected(self) -> smtplib.SMTP:
        host, port = self.server.host or "", self.server.port
        if self.server.encryption == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=TIMEOUT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A file for each notice: a statement's page, of others the JSON that a webhook would get."""

    directory: Path
    page: PageOf

    def send(self, notice: Notice, created_at: datetime) -> None:
        """Write the file, whole or not at all."""
        page = self.page(notice)
        if page is None:
            content = msgspec.json.format(msgspec.json.encode({"created_at": created_at, "notice": notice}), indent=2)
            page = Page(content=content + b"\n", suffix="json", media_type="application/json")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / file_name(notice, page)
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                fresh.write_bytes(page.content)
                fresh.replace(path)
            finally:
                with contextlib.suppress(OSError):
                    fresh.unlink()
        except OSError as error:
            raise SendingError(f"the file cannot be written: {error.strerror}") from None


def file_name(notice: Notice, page: Page) -> str:
    """Name a notice's file after what it says; names of teams may hold anything, so what a path could read is left out.

    Two subjects that look alike then are told apart by a digest.
    """
    plain = _UNSAFE.sub("-", notice.subject).strip("-.")
    apart = "" if plain == notice.subject else f"-{name_of(notice)[:8]}"
    subject = f"-{plain}" if plain else ""
    return f"{notice.event}{subject}{apart}-{_UNSAFE.sub('-', notice.period)}.{page.suffix}"


def _said(error: Exception) -> str:
    """Say what went wrong by its kind: messages of libraries name addresses and repeat what a server said."""
    inner = getattr(error, "reason", None)
    cause = inner if isinstance(inner, Exception) else error
    if isinstance(cause, smtplib.SMTPResponseException):
        return f"the mail server answered {cause.smtp_code}"
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return next((words for kind, words in _WORDS.items() if isinstance(cause, kind)), type(cause).__name__)


_WORDS: Final[dict[type[Exception], str]] = {
    smtplib.SMTPRecipientsRefused: "the mail server refused all who are told",
    smtplib.SMTPServerDisconnected: "the mail server closed the connection",
    smtplib.SMTPNotSupportedError: "the mail server does not offer what [mail] asks of it",
    ssl.SSLCertVerificationError: "its certificate is not trusted here",
    ssl.SSLError: "it does not speak TLS as it should",
    socket.gaierror: "its host is not known here",
    TimeoutError: f"no answer within {TIMEOUT_S:g} s",
}
