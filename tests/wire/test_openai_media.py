"""What requests for pictures and sounds say, as JSON and as forms."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.multipart import fields
from proxy.wire.registry import SURFACES, surface_for


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(b"--b0und\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (h.encode(), v) for h, v in parts)
    return body + b"--b0und--\r\n"


UPLOAD = form(
    ('name="file"; filename="a.mp3"', b"\xff\xfb\r\n--b0un\r\n\r\n" + bytes(1000)),
    ('name="model"', b"gpt-4o-transcribe"),
    ('name="stream"', b"true"),
    ('name="user"', "zoë".encode()),
    ('name="n"', b"3"),
)


def test_the_model_of_an_upload_is_read_and_its_file_is_not() -> None:
    asked = SURFACES["openai.transcriptions"].asked(UPLOAD)
    assert asked.model == "gpt-4o-transcribe"
    assert asked.stream
    assert asked.user == "zoë"
    assert asked.units == {}
    assert "file" not in fields(UPLOAD)


@pytest.mark.parametrize("end", range(0, len(UPLOAD), 37))
def test_a_form_cut_off_gives_what_was_whole(end: int) -> None:
    assert fields(UPLOAD).items() >= fields(UPLOAD[:end]).items()


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    fields(data)
    fields(b"--b\r\n" + data)
    fields(UPLOAD[:50] + data + UPLOAD[50:])


@pytest.mark.parametrize(
    ("body", "images"),
    [
        (b'{"model":"dall-e-3","prompt":"a","n":2}', 2),
        (b'{"model":"dall-e-3","prompt":"a"}', 1),
        (b'{"model":"dall-e-3","prompt":"a","n":null}', 1),
        (b'{"model":"dall-e-3","prompt":"a","n":-4}', 1),
        (UPLOAD, 3),
    ],
)
def test_pictures_are_what_a_request_asks_for(body: bytes, images: int) -> None:
    assert SURFACES["openai.images"].asked(body).units == {"images": images}


def test_what_is_spoken_is_billed_by_its_characters() -> None:
    body = json.dumps({"model": "tts-1", "input": "zwölf Boxkämpfer", "voice": "alloy"}).encode()
    asked = SURFACES["openai.speech"].asked(body)
    assert asked.model == "tts-1"
    assert asked.units == {"characters": 16}


def test_nothing_is_counted_in_place_of_what_a_picture_did_not_say() -> None:
    assert SURFACES["openai.images"].prompt_text(b'{"prompt":"a long story"}') is None


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/images/edits", "openai.images"),
        ("POST", "/openai/deployments/dalle/images/generations", "openai.images"),
        ("POST", "/v1/audio/translations", "openai.transcriptions"),
        ("POST", "/v1/audio/speech", "openai.speech"),
        ("GET", "/v1/batches/batch_1", "openai.batches"),
        ("GET", "/v1/batches", "other"),
        ("GET", "/v1/files/file-1/content", "other"),
        ("POST", "/v1/threads/t_1/runs", "openai.runs"),
        ("GET", "/v1/threads/t_1/runs/r_1", "openai.runs"),
        ("GET", "/v1/threads/t_1/runs/r_1/steps", "other"),
        ("GET", "/v1/responses/resp_1", "openai.responses_view"),
        ("POST", "/v1/responses/resp_1/cancel", "openai.responses_view"),
        ("GET", "/v1/responses/resp_1/input_items", "other"),
        ("POST", "/v1/responses/input_tokens", "openai.input_tokens"),
        ("POST", "/v1/moderations", "openai.moderations"),
        ("WEBSOCKET", "/v1/realtime", "openai.realtime"),
        ("WEBSOCKET", "/openai/v1/realtime", "openai.realtime"),
        ("WEBSOCKET", "/v1/responses", "openai.responses_socket"),
    ],
)
def test_which_format_a_request_speaks(method: str, path: str, name: str) -> None:
    assert surface_for(method, path).name == name
