"""Calls in OpenAI's format to providers that speak another one, carried by LiteLLM's SDK in a process of its own.

The SDK takes seconds to import and hundreds of megabytes. Only the process that ``process.run_translator`` becomes ever
has it, and that process is there only where a configured route says ``via = "litellm"``.
"""
