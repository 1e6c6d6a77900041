"""A page as PDF: by WeasyPrint, which needs the extra ``pdf`` and the system's Pango."""

from __future__ import annotations

import logging
from typing import NoReturn

from proxy.errors import ConfigError

INSTALL = "install joulegate[pdf] and Pango (on Debian and Ubuntu: apt-get install libpango-1.0-0 libpangoft2-1.0-0)"


def as_pdf(page: str) -> bytes:
    """Lay a page out on paper; raises :class:`ConfigError` that says what to install where that is not there."""
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # OSError: Pango itself
        raise ConfigError(f"a PDF cannot be made ({str(error).splitlines()[0]}); {INSTALL}") from None
    # It warns of what of the page's style is for screens alone, each time.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    made: bytes = HTML(string=page, url_fetcher=_nothing).write_pdf()
    return made


def _nothing(url: str) -> NoReturn:
    raise ValueError(f"a statement fetches nothing, and it wants {url[:80]}")
