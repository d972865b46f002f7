"""The server answers as its description says, whatever it is asked: schemathesis makes the requests from it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import Server

# What an answer has to be. Whether a request is accepted is not for its schema alone to say: names have limits in
# bytes, and options exclude each other.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
)


def test_no_request_is_answered_otherwise_than_described(
    file_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What waits is not what is looked for.
    monkeypatch.setenv("ADS_LONGEST_WAIT", "50ms")
    server = Server(f"{file_url}?durability=relaxed")
    try:
        token = server.make_token("--user", "alice", "--admin")
        program = Path(sys.executable).with_name("st")
        options = [
            "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing",
            "--max-examples", "40", "--seed", "1", "--generation-database", "none", "--request-timeout", "10",
            "--continue-on-failure", "--no-shrink", "--no-color",
            # The messages there are another protocol's, and some answers have no end.
            "--exclude-path", "/mcp",
        ]  # fmt: skip
        command = [str(program), "run", f"{server.url}/openapi.json", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
        # All were asked, and by somebody who may.
        selected = re.search(r"Selected: (\d+)/\d+\n +Tested: \1\n", done.stdout)
        assert selected and int(selected[1]) >= 27, done.stdout[-2_000:]
        assert "Authentication failed" not in done.stdout, done.stdout[-2_000:]
    finally:
        server.kill()
