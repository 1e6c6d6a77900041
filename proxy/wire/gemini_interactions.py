"""Gemini's interactions: usage inside the interaction object, which can be looked at again under its id.

Plain: ``usage`` beside ``steps``. Streamed: in the terminal event's ``interaction``; before it each event may state in
its ``metadata`` what was used so far. An interaction in the background answers without usage; what it cost is shown by
every later look at it and counts once, under its id.

Source: the types of google-genai 3.4 (interactions.Usage), November 2026.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire import openai
from proxy.wire.canon import Path, Places, Statement, at, error_code, label, quantity
from proxy.wire.gemini import by_modality
from proxy.wire.google import GoogleSurface, bare_model
from proxy.wire.lenient import REFUSED, Lenient, loads
from proxy.wire.reply import Reply
from proxy.wire.surface import Asked, Headers, Way
from proxy.wire.texts import prompt, strings

_USAGE = Places(
    input_tokens=(("total_input_tokens",),),
    cached=(("total_cached_tokens",),),
    cache_write=(),
    audio_input=(("input_tokens_by_modality", "AUDIO"),),
    image_input=(("input_tokens_by_modality", "IMAGE"),),
    output_tokens=(("total_output_tokens",),),
    reasoning=(("total_thought_tokens",),),
    audio_output=(("output_tokens_by_modality", "AUDIO"),),
    image_output=(("output_tokens_by_modality", "IMAGE"),),
    total=(("total_tokens",),),
    beside_input=((("total_tool_use_tokens",),),),
    beside_output=((("total_thought_tokens",),),),
    total_tells=False,
)
_GROUNDING = {"google_search": "web_searches", "google_maps": "maps_searches", "retrieval": "retrievals"}
_MEMBERS = ("id", "model", "agent", "status", "usage", "service_tier", "error")
_RUNNING = frozenset({"queued", "in_progress"})
_ENDS = frozenset({"interaction.completed", "interaction.complete"})
_GENERATED: tuple[Path, ...] = (
    ("steps", "content", "text"),
    ("steps", "summary", "text"),
    ("steps", "name"),
    ("outputs", "text"),
    ("outputs", "name"),
)
_PROMPT: tuple[Path, ...] = (
    ("system_instruction",),
    ("input",),
    ("input", "text"),
    ("input", "content"),
    ("input", "content", "text"),
)


class _Delta(msgspec.Struct, gc=False):
    text: Any = None
    arguments: Any = None
    content: Any = None


class _SparseEvent(msgspec.Struct, gc=False):
    event_type: Any = None
    interaction: Any = None
    interaction_id: Any = None
    status: Any = None
    metadata: Any = None
    error: Any = None


class _Event(_SparseEvent, gc=False):
    delta: _Delta | None = None


_EVENT: Lenient[_SparseEvent] = Lenient(_Event, _SparseEvent)
_decode = _EVENT.quick.decode


class InteractionReader(Reply):
    """Reads an interaction, whole or as events."""

    places = _USAGE
    members = frozenset(name.encode() for name in _MEMBERS)

    def __init__(self) -> None:
        super().__init__()
        self._status: str | None = None
        self._searches: dict[str, float] = {}

    def event(self, data: bytes) -> None:
        """Read one event."""
        try:
            event = _decode(data)
        except REFUSED:
            if data.startswith(b"[DONE]"):
                self.finished = True
                return
            lenient = _EVENT.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            event = lenient
        if event.__class__ is _Event and event.delta is not None:
            self._said(event.delta)
        if event.metadata is not None:
            self.statement.add(at(event.metadata, ("usage",)))
        if event.interaction is not None:
            self._about(event.interaction)
        if event.error is not None:
            self.error = error_code(event.error) or self.error
        self.response_id = self.response_id or label(event.interaction_id)
        self._status = label(event.status) or self._status
        if isinstance(event.event_type, str) and event.event_type in _ENDS:
            self.finished = True

    def document(self, body: bytes) -> bool:
        """Read an interaction that is shown whole."""
        tree = loads(body)
        if not isinstance(tree, dict):
            return self.array(body)
        self._about(tree)
        for path in _GENERATED:
            for text in strings(tree, path):
                self.text.add(text)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of an interaction that could not be read whole."""
        self._about(found)

    def units(self) -> dict[str, float]:
        """Give the searches that grounded the answer."""
        return self._searches

    def ended(self) -> None:
        """Bring the usage into counts by modality; say where it is not the last word, or still to come."""
        stated = self.statement.stated
        running = self._status in _RUNNING
        self.pending = running and not stated and self.error is None
        if stated and running:
            self.flags["usage.output_so_far"] = None  # the reply broke off
        elif stated:
            self.counted_as = self.response_id
        self._searches = _searches(stated.get("grounding_tool_count"))
        self.statement = Statement()
        self.statement.add(by_modality(stated))

    def _about(self, interaction: object) -> None:
        said = {name: at(interaction, (name,)) for name in _MEMBERS}
        self.model = label(said["model"]) or label(said["agent"]) or self.model
        self.response_id = label(said["id"]) or self.response_id
        self.service_tier = label(said["service_tier"]) or self.service_tier
        self._status = label(said["status"]) or self._status
        self.statement.add(said["usage"])
        if said["error"] is not None:
            self.error = error_code(said["error"]) or self.error

    def _said(self, delta: _Delta) -> None:
        for piece in (delta.text, delta.arguments, at(delta.content, ("text",))):
            if piece and isinstance(piece, str):
                self.started = True
                self.text.add(piece)


def _searches(counts: object) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in counts if isinstance(counts, list) else ():
        unit, amount = _GROUNDING.get(str(at(each, ("type",)))), quantity(at(each, ("count",)))
        if unit is not None and amount:
            found[unit] = found.get(unit, 0) + amount
    return found


class _Request(msgspec.Struct):
    model: Any = None
    agent: Any = None
    stream: Any = None
    generation_config: Any = None


_REQUEST = Lenient(_Request, _Request)


class Interactions(GoogleSurface):
    """POST interactions, whose model or agent stands in the body."""

    name = "gemini.interactions"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        request = _REQUEST.decode(body)
        if request is None:
            return openai.asked(body)
        limit = at(request.generation_config, ("max_output_tokens",))
        return Asked(
            model=bare_model(request.model) or label(request.agent),
            stream=request.stream is True,
            output_limit=limit if type(limit) is int and limit >= 0 else None,
        )

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give ``body`` with the name of its model replaced."""
        return openai.prepare(body, model=model, ask_for_usage=False)

    def reader(self, headers: Headers = (), status: int = 200) -> InteractionReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return InteractionReader()

    def prompt_text(self, body: bytes) -> str | None:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, described=(("tools",),))


class InteractionsView(Interactions):
    """GET interactions/{id}, also as a stream that is taken up again, and POST interactions/{id}/cancel."""

    name = "gemini.interactions_view"
    metered = False

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Give nothing: what was asked was asked before."""
        return Asked()


_VIEW = InteractionsView()
WAYS = (
    Way("POST", "interactions", Interactions()),
    Way("GET", "interactions/*", _VIEW),
    Way("POST", "interactions/*/cancel", _VIEW),
)
