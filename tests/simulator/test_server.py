import asyncio

import pytest

from proxy.simulator import in_thread, listen, origin_of, serving
from tests.simulator.raw import request


def test_serves_inside_a_running_loop():
    async def run() -> tuple[int, str]:
        async with serving(fast=True) as origin:
            reply = await asyncio.to_thread(request, origin, "/v1/models", method="GET")
        return reply.status, origin

    status, origin = asyncio.run(run())
    assert status == 200
    with pytest.raises(ConnectionRefusedError):
        request(origin, "/v1/models", method="GET")


def test_a_taken_port_is_an_error():
    with in_thread() as origin, pytest.raises(OSError, match="Address already in use"):
        listen("127.0.0.1", int(origin.rpartition(":")[2]))


def test_origin_of_an_ipv6_address():
    with listen("::1", 0) as listening:
        assert origin_of(listening) == f"http://[::1]:{listening.getsockname()[1]}"
