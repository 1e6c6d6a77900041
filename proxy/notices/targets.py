"""Whom the configuration names."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from proxy.config import resolve_secret
from proxy.errors import ConfigError
from proxy.notices.sending import Files, Mail, PageOf, Target, Webhook
from proxy.sections import Config, MailSection, NotifySection


def targets_of(config: Config, page: Callable[[NotifySection], PageOf]) -> dict[str, Target]:
    """Make the targets that the configuration names; raises :class:`ConfigError` where a secret cannot be had."""
    return {each.name: _target(each, config.mail, page(each)) for each in config.notify}


def _target(to: NotifySection, server: MailSection, page: PageOf) -> Target:
    owner = f"notify `{to.name}`"
    if to.webhook is not None:
        url = to.webhook
        if url.startswith(("env:", "file:")):
            url = resolve_secret(url, owner=owner, setting="webhook").decode()
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{owner}: its webhook is no address that begins with https:// or http://, nor env:NAME or file:PATH"
            )
        secret = None if to.secret is None else resolve_secret(to.secret, owner=owner, setting="secret")
        return Webhook(url=url, secret=secret, clock=time.time)
    if to.mail:
        password = (
            None
            if server.password is None
            else resolve_secret(server.password, owner="[mail]", setting="password").decode()
        )
        return Mail(server=server, password=password, to=to.mail, page=page)
    return Files(directory=Path(to.directory or ""), page=page)
