"""A loopback provider that speaks the wire formats of many: for the demo, the tests and the benchmark."""

from proxy.simulator.app import build_simulator
from proxy.simulator.server import in_thread, listen, origin_of, serve, serve_on, serving

__all__ = ["build_simulator", "in_thread", "listen", "origin_of", "serve", "serve_on", "serving"]
