"""The console: what the recorder has seen, as a web page, as JSON and for Prometheus."""

from proxy.console.app import build_console
from proxy.console.recent import RecentCalls

__all__ = ["RecentCalls", "build_console"]
