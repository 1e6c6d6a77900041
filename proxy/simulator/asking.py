"""What a client asks of the simulator: the OpenAI request bodies, and the normal form that all others share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, object]  # a JSON schema or a piece of JSON given back as it came


class Part(msgspec.Struct, frozen=True):
    """One piece of a message: text, an image, a refusal, …."""

    type: str = "text"
    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    """A chat message, or an input item of the Responses API (a message, a call, a call's output)."""

    role: str | None = None
    type: str | None = None
    content: str | list[Part] | None = None
    tool_calls: list[JsonObject] | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None

    @property
    def is_tool_result(self) -> bool:
        """Whether this carries what a tool answered."""
        return self.role == "tool" or self.type == "function_call_output"

    def text(self) -> str:
        """Give all text the model reads here."""
        pieces = [self.role or "", self.name or "", self.arguments or ""]
        for content in (self.content, self.output):
            if isinstance(content, str):
                pieces.append(content)
            elif content is not None:
                pieces.extend(part.text or part.type for part in content)
        if self.tool_calls:
            pieces.append(msgspec.json.encode(self.tool_calls).decode())
        return "\n".join(piece for piece in pieces if piece)


class Function(msgspec.Struct, frozen=True):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None


class ChatTool(msgspec.Struct, frozen=True):
    """A tool of a chat request; only functions are understood."""

    type: str
    function: Function | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream carries beside the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JsonSchema(msgspec.Struct, frozen=True):
    """A named schema that the reply must satisfy."""

    name: str = "reply"
    schema: JsonObject | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form of a chat reply: text, json_object or json_schema."""

    type: str = "text"
    json_schema: JsonSchema | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """Body of ``POST …/chat/completions``."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    tools: list[ChatTool] | None = None
    tool_choice: str | JsonObject | None = None
    response_format: ResponseFormat | None = None
    service_tier: str | None = None


class CompletionRequest(msgspec.Struct, frozen=True):
    """Body of ``POST …/completions``."""

    model: str
    prompt: str | list[str | int | list[int]] = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = 16


class ResponseTool(msgspec.Struct, frozen=True):
    """A tool of a Responses request; only functions are understood."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: JsonObject | None = None


class TextFormat(msgspec.Struct, frozen=True):
    """The form of a Responses reply."""

    type: str = "text"
    name: str | None = None
    schema: JsonObject | None = None


class TextOptions(msgspec.Struct, frozen=True):
    """Holder of the form of a Responses reply."""

    format: TextFormat | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How much a model should think."""

    effort: str | None = None


class ResponsesRequest(msgspec.Struct, frozen=True):
    """Body of ``POST …/responses``."""

    model: str
    input: str | list[Message] = ""
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: int | None = None
    reasoning: Reasoning | None = None
    text: TextOptions | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: str | JsonObject | None = None
    previous_response_id: str | None = None
    parallel_tool_calls: bool | None = None
    service_tier: str | None = None
    metadata: dict[str, str] | None = None


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """Body of ``POST …/embeddings``."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What matters of a request for text, whatever its surface."""

    model: str
    prompt: str  # all the model reads
    input_tokens: int
    choices: int = 1
    output_limit: int | None = None  # tokens each choice may have
    stream: bool
    include_usage: bool = True
    obfuscate: bool
    effort: str | None = None
    thinks: bool | None = None  # None: its name says
    caches: bool = True  # the prompt is looked for in the cache
    calls: tuple[Function, ...] = ()  # functions the reply should call
    schema: JsonObject | None = None  # the reply must be JSON of this schema


ANY_OBJECT: JsonObject = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def count(text: str) -> int:
    """Count the tokens of what a model reads: by definition here, one for every four characters begun."""
    return -(-len(text) // 4)


def ask_of_messages(
    model: str,
    messages: list[Message],
    *,
    system: str = "",
    functions: list[Function] | None = None,
    choice: str | JsonObject | None = None,
    schema: JsonObject | None = None,
    choices: int = 1,
    output_limit: int | None = None,
    stream: bool = False,
    include_usage: bool = True,
    obfuscate: bool = False,
    effort: str | None = None,
    thinks: bool | None = None,
    caches: bool = True,
) -> Ask:
    """Bring a conversation into the normal form; ``choice`` is that of chat completions."""
    functions = functions or []
    listed = msgspec.json.encode(functions).decode() + "\n" if functions else ""
    prompt = listed + system + "\n".join(message.text() for message in messages)
    return Ask(
        model=model,
        prompt=prompt,
        input_tokens=count(prompt) + 3 * len(messages) + 3,
        choices=choices,
        output_limit=output_limit,
        stream=stream,
        include_usage=include_usage,
        obfuscate=obfuscate,
        effort=effort,
        thinks=thinks,
        caches=caches,
        calls=_wanted(functions, choice, messages),
        schema=schema,
    )


def ask_of_chat(request: ChatRequest) -> Ask:
    """Read a chat request."""
    form = request.response_format or ResponseFormat()
    schema = form.json_schema.schema if form.json_schema is not None else None
    options = request.stream_options or StreamOptions()
    return ask_of_messages(
        request.model,
        request.messages,
        functions=[tool.function for tool in request.tools or [] if tool.function is not None],
        choice=request.tool_choice,
        schema=schema if form.type == "json_schema" else ANY_OBJECT if form.type == "json_object" else None,
        choices=request.n or 1,
        output_limit=request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens,
        stream=bool(request.stream),
        include_usage=bool(options.include_usage),
        obfuscate=options.include_obfuscation is not False,
        effort=request.reasoning_effort,
    )


def ask_of_completion(request: CompletionRequest) -> Ask:
    """Read a legacy completion request; every prompt of a list is answered ``n`` times."""
    texts, tokens = inputs(request.prompt)
    options = request.stream_options or StreamOptions()
    return Ask(
        model=request.model,
        prompt="\n".join(texts),
        input_tokens=sum(tokens),
        choices=len(tokens) * (request.n or 1),
        output_limit=request.max_tokens,
        stream=bool(request.stream),
        include_usage=bool(options.include_usage),
        obfuscate=False,
    )


def ask_of_response(request: ResponsesRequest) -> Ask:
    """Read a Responses request."""
    functions = [
        Function(name=tool.name, description=tool.description, parameters=tool.parameters)
        for tool in request.tools or []
        if tool.type == "function" and tool.name is not None
    ]
    items = [Message(role="user", content=request.input)] if isinstance(request.input, str) else request.input
    form = (request.text.format if request.text is not None else None) or TextFormat()
    options = request.stream_options or StreamOptions()
    return ask_of_messages(
        request.model,
        items,
        system=request.instructions or "",
        functions=functions,
        choice=request.tool_choice,
        schema=form.schema if form.type == "json_schema" else ANY_OBJECT if form.type == "json_object" else None,
        output_limit=request.max_output_tokens,
        stream=bool(request.stream),
        obfuscate=options.include_obfuscation is not False,
        effort=request.reasoning.effort if request.reasoning is not None else None,
    )


def inputs(given: str | list[str | int | list[int]]) -> tuple[list[str], list[int]]:
    """Tell one or several inputs, as text or as token ids, apart: texts and each one's tokens."""
    if isinstance(given, str):
        return [given], [count(given)]
    if given and all(isinstance(item, int) for item in given):  # one input, given as token ids
        return [" ".join(map(str, given))], [len(given)]
    texts = [item if isinstance(item, str) else str(item) for item in given]
    tokens = [len(item) if isinstance(item, list) else count(str(item)) for item in given]
    return texts, tokens


def words_of(value: object) -> str:
    """Give what a model reads of a piece of a message: its texts, and anything else as JSON."""
    match value:
        case str():
            return value
        case list():
            return "\n".join(map(words_of, value))
        case {"text": str(text)}:
            return text
        case None:
            return ""
        case _:
            return msgspec.json.encode(value).decode()


def _wanted(
    functions: list[Function], choice: str | JsonObject | None, messages: list[Message]
) -> tuple[Function, ...]:
    """Choose the functions to call: those forced, else those whose name the last user's text mentions."""
    if isinstance(choice, dict):
        named = choice.get("function", choice)
        name = named.get("name") if isinstance(named, dict) else None
        return tuple(function for function in functions if function.name == name)
    if choice == "none" or not functions:
        return ()
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    text = last.text().lower() if last is not None else ""
    mentioned = tuple(
        function
        for function in functions
        if any(len(word) >= 4 and word in text for word in (function.name.lower(), *function.name.lower().split("_")))
    )
    if choice == "required":
        return mentioned or (functions[0],)
    if messages and messages[-1].is_tool_result:
        return ()  # the tool has answered: now comes text
    return mentioned or ((functions[0],) if "tool" in text else ())
