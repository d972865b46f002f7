"""Binary data: JSON has no bytes, so a small file is stored as base64 text.

`bytes` are refused with a message that names the place. base64 makes a file a third larger; for
files of more than some hundred kilobytes store a path or URL and a hash instead.

    ads run examples/binary_data.py --input '{"file": "examples/binary_data.py"}'
"""

import base64
import hashlib
import mimetypes
from pathlib import Path


async def run(input_dict: dict, tools: dict) -> dict:
    path = Path(input_dict["file"])
    content = path.read_bytes()
    files = data_store.use_namespace("small-files")

    try:
        files.set(path.name, {"data": content})
        refused = None
    except TypeError as problem:
        refused = str(problem)

    files.set(
        path.name,
        {
            "data": base64.b64encode(content).decode("ascii"),
            "mime_type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "sha256": hashlib.sha256(content).hexdigest(),
        },
    )

    stored = files.get(path.name)
    restored = base64.b64decode(stored["data"])
    return {
        "refused": refused,
        "mime_type": stored["mime_type"],
        "intact": hashlib.sha256(restored).hexdigest() == stored["sha256"],
        "stored_characters": len(stored["data"]),
        "bytes": len(restored),
    }
