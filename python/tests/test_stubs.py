"""What editors show is what is there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agent_data_store
from agent_data_store import _native


def documented(tree: ast.Module) -> Iterator[tuple[str, Any, str | None]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            thing = getattr(_native, node.name)
            yield node.name, thing, ast.get_docstring(node)
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("__"):
                    yield f"{node.name}.{member.name}", getattr(thing, member.name), ast.get_docstring(member)


def test_the_stub_says_what_the_module_says() -> None:
    assert _native.__file__ is not None
    stub = Path(_native.__file__).with_name("_native.pyi")
    seen = list(documented(ast.parse(stub.read_text(encoding="utf-8"))))
    assert len(seen) > 30
    for name, thing, text in seen:
        assert text == inspect.getdoc(thing), name


def test_everything_public_is_documented() -> None:
    for name in set(agent_data_store.__all__) - {"__version__"}:
        thing = getattr(agent_data_store, name)
        assert inspect.getdoc(thing), name
        if isinstance(thing, type) and not issubclass(thing, Exception):
            for member in dir(thing):
                if not member.startswith("_") and callable(getattr(thing, member)):
                    assert inspect.getdoc(getattr(thing, member)), f"{name}.{member}"
