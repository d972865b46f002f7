"""Secrets by environment: the store keeps what was done and with which key, never the key.

Signs a file with HMAC-SHA-256. The signing key comes from an environment variable; the store gets
the variable's name and the signature. Values in the store are not encrypted, and every agent of the
same user reads them.

    SIGNING_KEY=example ads run examples/secrets_by_environment.py --input '{"file": "examples/README.md"}'
"""

import hashlib
import hmac
import os
from pathlib import Path


async def run(input_dict: dict, tools: dict) -> dict:
    variable = input_dict.get("key_variable", "SIGNING_KEY")
    secret = os.environ.get(variable)
    if not secret:
        return {"error": f"set the environment variable {variable} to the signing key"}

    path = input_dict["file"]
    signature = hmac.new(secret.encode(), Path(path).read_bytes(), hashlib.sha256).hexdigest()
    signatures = data_store.use_namespace("signatures")
    before = signatures.get(path)
    signatures.set(path, {"key_variable": variable, "hmac_sha256": signature})
    known = before is not None and hmac.compare_digest(before["hmac_sha256"], signature)
    return {"file": path, "hmac_sha256": signature, "same_as_before": known}
