"""Runs what the documentation shows: every Python block and every `ads` command.

All blocks of one file run in order, in one namespace, in an empty folder and with an empty HOME, so
that the default store is new. `data_store` is predefined. Beyond plain ```python the fences are:

    ```python file=agent.py     the block is written to that file, for the commands that follow
    ```python run={"n": 1}      the block is run as an agent with that input; may stand several
                                times, for several runs
    ```json                     straight after a run block: the result of its last run
    ```console                  lines that begin with `$ ads` (or `$ .venv/bin/ads`) are run; what
                                follows them must be their output, where `...` stands for any text

Within Python, `expression  # -> value` compares the repr of the expression with the text, and
`expression  # -> raises Error` expects that exception.
"""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import agent_data_store

DOCS = Path(__file__).resolve().parent
FILES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]
ADS = os.path.abspath(os.environ.get("ADS") or Path(sys.executable).with_name("ads"))
DEADLINE_SECONDS = 120

FENCE = re.compile(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", re.M | re.S)
CLAIM = re.compile(r"# -> (.+)$")


@dataclass
class Block:
    language: str
    info: str
    text: str
    line: int  # of the block's first line, from 1
    file: Path

    @property
    def place(self) -> str:
        return f"{self.file.name}:{self.line}"


def blocks(file: Path) -> list[Block]:
    text = file.read_text(encoding="utf-8")
    return [
        Block(
            language=match[1],
            info=match[2] or "",
            text=match[3],
            line=text.count("\n", 0, match.start(3)) + 1,
            file=file,
        )
        for match in FENCE.finditer(text)
    ]


class Claims(ast.NodeTransformer):
    """Turns each `expression  # -> claim` into a call that checks it, wherever in the block it stands."""

    def __init__(self, block: Block):
        self.lines, self.first_line = block.text.splitlines(), block.line
        self.found = 0

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        claim = CLAIM.search(self.lines[node.end_lineno - self.first_line])
        if claim is None:
            return node
        self.found += 1
        evaluate = ast.parse("lambda: None", mode="eval").body
        evaluate.body = node.value
        arguments = [evaluate, ast.Constant(claim[1]), ast.Constant(node.lineno)]
        checked = ast.Expr(ast.Call(ast.Name("_check", ast.Load()), arguments, []))
        return ast.fix_missing_locations(ast.copy_location(checked, node))


def run_statements(block: Block, names: dict) -> None:
    def check(evaluate: Callable[[], object], claim: str, line: int) -> None:
        place = f"{block.file.name}:{line}"
        if not claim.startswith("raises "):
            value = evaluate()
            assert repr(value) == claim, f"{place}: got {value!r}"
            return
        expected = claim.removeprefix("raises ")
        try:
            value = evaluate()
        except Exception as problem:
            assert type(problem).__name__ == expected, f"{place}: got {problem!r}"
        else:
            pytest.fail(f"{place}: {expected} was not raised, got {value!r}")

    # Leading newlines make tracebacks point at the line of the document.
    tree = ast.parse("\n" * (block.line - 1) + block.text, str(block.file))
    claims = Claims(block)
    tree = claims.visit(tree)
    assert claims.found == block.text.count("# -> "), f"{block.place}: a claim that is not on an expression"
    names["_check"] = check
    exec(compile(tree, str(block.file), "exec"), names)


def run_agent(block: Block):
    code = compile("\n" * (block.line - 1) + block.text, str(block.file), "exec")
    result = None
    for given in re.split(r"(?:^| )run=", block.info)[1:]:
        result = agent_data_store.run_agent(code, json.loads(given), agent="docs")
    return result


def run_console(block: Block) -> None:
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        words = shlex.split(command, comments=True)
        if words[0] not in ("ads", ".venv/bin/ads"):
            continue
        # For commands that start others, as those of readers do who have it on their path.
        path = os.pathsep.join((os.path.dirname(ADS), os.environ.get("PATH", os.defpath)))
        variables = {**os.environ, "PATH": path}
        done = subprocess.run(
            [ADS, *words[1:]], capture_output=True, text=True, timeout=DEADLINE_SECONDS, env=variables
        )
        assert done.returncode == 0, f"{block.place}: {command}\n{done.stderr}"
        if expected.strip():
            pattern = ".*".join(map(re.escape, expected.strip().split("...")))
            output = done.stdout.strip()
            assert re.fullmatch(pattern, output, re.S), f"{block.place}: {command}\n{output}"


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("AGENT_DATA_STORE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_document_says_what_happens(file: Path, fresh_home: Path):
    with agent_data_store.connect(agent="docs") as data_store:
        names = {"__name__": "docs", "data_store": data_store}
        result = previous = None
        for block in blocks(file):
            if block.language == "console":
                run_console(block)
            elif block.language == "json" and previous is not None:
                assert result == json.loads(block.text), f"{block.place}: got {result!r}"
            elif block.language == "python" and block.info.startswith("file="):
                Path(block.info.removeprefix("file=")).write_text(block.text, encoding="utf-8")
            elif block.language == "python" and block.info.startswith("run="):
                result = run_agent(block)
            elif block.language == "python":
                assert not block.info, f"{block.place}: unknown fence {block.info!r}"
                run_statements(block, names)
            previous = block if block.info.startswith("run=") else None


def anchors(file: Path) -> set[str]:
    """The names under which a Markdown viewer links to the headings of `file`."""
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_links_between_documents_lead_somewhere(file: Path):
    text = file.read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        if "://" in path:
            continue
        target = file.parent / path if path else file
        assert target.exists(), f"{file.name}: {path}"
        assert not anchor or anchor in anchors(target), f"{file.name}: {path}#{anchor}"
