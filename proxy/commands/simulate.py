"""``joulegate simulate``: a loopback provider to try the gate against."""

from __future__ import annotations

from typing import Annotated

import typer


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8790,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    fast: Annotated[bool, typer.Option("--fast", help="Leave out every wait that no request asks for.")] = False,
    seed: Annotated[int, typer.Option(help="The same request and seed give the same bytes.")] = 0,
) -> None:
    """Run a loopback provider that speaks OpenAI, Anthropic, Gemini, Bedrock, Cohere and Ollama.

    Any key and any model name will do; nothing leaves this machine and no text of a request is kept.
    Under every base path: http://HOST:PORT, …/v1, …/openai/v1, …/api/v1.

    Headers of a request shape its reply (more in docs/reference/simulator.md):

    \b
    x-simulate-status: 429           an error; 429,200: once, then the SDK's retry
    x-simulate-retry-after-ms: 700   what a 429 says in retry-after-ms
    x-simulate-first-token-ms: 250   wait before the first token
    x-simulate-token-ms: 10          wait before each further token
    x-simulate-output-tokens: 60     length of the text
    x-simulate-cut-after: 5          reset after N events (bytes, if not streamed)
    x-simulate-error-after: 5        an error inside a 200, after N events
    x-simulate-content-encoding: br  gzip, br, zstd, deflate, deflate-raw
    x-simulate-splits: 7             odd small pieces, chosen by this seed
    x-simulate-newline: crlf         end the lines of a stream with CR LF
    x-simulate-usage: absent         or always, x_groq: in every stream
    x-simulate-body-bytes: 1000000   make the reply at least this long
    x-simulate-hang: before_head     or before_body: silence, until you leave

    For example:

    \b
    joulegate simulate
    joulegate simulate --port 9000 --fast
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    from rich.console import Console

    from proxy.simulator import listen, origin_of, serve

    console = Console()
    try:
        listening = listen(host, port)
    except OSError as problem:
        why = problem.strerror or str(problem)
        Console(stderr=True).print(f"Cannot listen on {host}:{port} ({why}). Choose another with --port.", markup=False)
        raise typer.Exit(2) from None
    with listening:
        origin = origin_of(listening)
        console.print(f"A simulated provider listens on {origin}, until Ctrl-C. Try:\n", markup=False, soft_wrap=True)
        console.print(_example(origin), markup=False, highlight=False, soft_wrap=True)
        serve(listening, fast=fast, seed=seed)


def _example(origin: str) -> str:
    return (
        f"curl -N {origin}/v1/chat/completions -H 'content-type: application/json' \\\n"
        '  -d \'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hello"}]}\''
    )
