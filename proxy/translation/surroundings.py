"""What the SDK can see of the machine it runs on: no credential, and no network at its import."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Final

# Where a program finds its interpreter, its certificates and its way out. Everything else may hold somebody's key:
# the SDK and the cloud libraries under it use what they find.
KEPT: Final = frozenset(
    {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)
SET: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # these lists come with it, and are not fetched
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",  # no .env of the working directory is read
    "LITELLM_LOG": "CRITICAL",
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",  # nothing is fetched for a client
    "AWS_EC2_METADATA_DISABLED": "true",  # no credential of the machine or of a user on it
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "NO_GCE_CHECK": "true",
    "CLOUDSDK_CONFIG": os.devnull,
}


def close_off(environment: MutableMapping[str, str]) -> None:
    """Leave of this process's environment what the SDK may know."""
    kept = {name: value for name, value in environment.items() if name in KEPT}
    environment.clear()
    environment.update(kept | SET)
