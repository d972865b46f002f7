"""The program `ads`: written in Rust, but for what runs an agent."""

from __future__ import annotations

import signal
import sys

from agent_data_store import DataStoreError, _native

TYPE_CHECKING = False  # As in the package itself.
if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType
    from typing import Any

    from agent_data_store._native import DataStore

_UNAVAILABLE = 6


def main() -> int:
    """Runs `ads` with the arguments of this process and returns its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Outside of an agent there is no Python code that could notice an interrupt.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_program(["ads", *sys.argv[1:]])


def run_agent_file(data_store: DataStore, file: Path, given: str, tools: str, globals_file: Path | None) -> int:
    """Runs an agent for `ads run`: its result goes to stdout as JSON, a failure to stderr. Returns the exit code."""
    from contextlib import ExitStack

    from agent_data_store._runner import base_globals, executed, run_agent

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            extra = None
            if globals_file is not None:
                extra = _public_names(stack.enter_context(executed(globals_file, base_globals(data_store))))
            result = run_agent(
                file, _native.from_json(given), _native.from_json(tools), data_store=data_store, globals=extra
            )
            text = _native.to_json(result, "result")
    except Exception as error:
        _print_failure(error, [file, globals_file])
        return 1
    finally:
        _close(data_store)
    return _print_result(text)


def _close(data_store: DataStore) -> None:
    try:
        data_store.close()
    except DataStoreError as error:
        # What the agent did is done: only counts of reads can be lost here.
        print(f"ads: warning: {error}", file=sys.stderr)


def _public_names(module: ModuleType) -> dict[str, Any]:
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name in vars(module) if not name.startswith("_")]
    return {name: getattr(module, name) for name in names}


def _print_failure(error: Exception, files: list[Path | None]) -> None:
    """Prints a traceback that begins in the agent's own code."""
    import traceback

    sys.stdout.flush()
    own = {str(file.absolute()) for file in files if file is not None}
    begin = error.__traceback__
    while begin is not None and begin.tb_frame.f_code.co_filename not in own:
        begin = begin.tb_next
    *before, last = traceback.format_exception(type(error), error, begin)
    if isinstance(error, DataStoreError):
        # Also under the name by which an agent may catch it without knowing of this package.
        known = [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"]
        if known[0] != "Exception":
            last = last.replace(":", f" ({known[0]}):", 1)
    text = "".join([*before, last])
    if _native.holds_secret(text):
        # A line of the agent's own code, most likely.
        hidden = "    (a line that holds what looks like a credential)\n"
        text = "".join(hidden if _native.holds_secret(line) else line for line in text.splitlines(keepends=True))
    sys.stderr.write(text)


def _print_result(text: str) -> int:
    import os

    try:
        sys.stdout.flush()
        # JSON is UTF-8 whatever the terminal is set to, and `sys.stdout.buffer` may be unbuffered, which cuts long
        # output short.
        with open(1, "wb", closefd=False) as out:
            out.write(text.encode() + b"\n")
    except OSError as error:
        # Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            # Whoever read the output has seen enough.
            return 0
        print(f"ads: cannot write the output: {error}", file=sys.stderr)
        return _UNAVAILABLE
    return 0
