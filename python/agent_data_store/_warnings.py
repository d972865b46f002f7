"""Warnings of likely credentials, at the line that has stored them."""

from __future__ import annotations

import linecache
import os
import sys
import warnings

from agent_data_store._errors import SecretsWarning
from agent_data_store._native import holds_secret

# Between a task and whoever has begun it there is only the event loop.
_PASSED_OVER = (os.path.join(os.path.dirname(__file__), ""), os.path.join(os.path.dirname(os.__file__), "asyncio", ""))


def warn(messages: list[str]) -> None:
    """Warns with each of `messages` at the innermost line that is not of this package."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSED_OVER):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    if holds_secret(linecache.getline(file, line, frame.f_globals)):
        # Python would print it below the message.
        messages, line = [f"line {line}: {message}" for message in messages], 0
    module = frame.f_globals.get("__name__", "<string>")
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    for message in messages:
        warnings.warn_explicit(message, SecretsWarning, file, line, module, registry)
