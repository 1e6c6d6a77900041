import re
import signal
import socket
import subprocess
import sys

from tests.simulator.raw import request

RUN = "import typer; from proxy.commands.simulate import simulate; typer.run(simulate)"


def test_prints_where_it_listens_and_ends_on_ctrl_c():
    command = [sys.executable, "-c", RUN, "--port", "0", "--fast"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line
        reply = request(found[0], "/v1/models", method="GET")
        process.send_signal(signal.SIGINT)
        # What stands behind the first line may have been read with it: communicate() would not see it.
        rest, errors = process.stdout.read(), process.stderr.read()
        process.wait(timeout=20)
    assert reply.status == 200
    assert f"curl -N {found[0]}/v1/chat/completions" in rest
    assert (process.returncode, errors) == (0, "")


def test_says_what_to_do_when_it_cannot_listen():
    given = subprocess.run(
        [sys.executable, "-c", RUN, "--host", "192.0.2.1"], capture_output=True, text=True, check=False
    )
    assert given.returncode == 2
    assert "Cannot listen on 192.0.2.1:8790" in given.stderr
    assert "--port" in given.stderr.replace("\n", " ")


def test_ctrl_c_breaks_a_reply_off_without_a_complaint():
    command = [sys.executable, "-c", RUN, "--port", "0", "--fast"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())[1])
        with socket.create_connection(("127.0.0.1", port)) as busy:
            busy.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-simulate-hang: before_body\r\n\r\n")
            assert busy.recv(9) == b"HTTP/1.1 "
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
