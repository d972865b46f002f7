#!/usr/bin/env bash
# Two agents on one store, twice: `ingest` reads this repository's files, `report` builds on what
# ingest stored. The second round answers from the store. The trace of every operation goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/../.."

ads=${ADS:-.venv/bin/ads}
python=$(dirname "$ads")/python
folder=$PWD/target/demo
# The folder may have a name that a URL spells differently.
store=sqlite://$("$python" -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' \
    "$folder/store.db")

rm -rf "$folder"
mkdir -p "$folder"

round() {
    printf '\n== Round %s: agent `ingest` reads the repository\n' "$1"
    "$ads" run examples/demo/ingest.py --agent ingest --store "$store" --trace \
        --input '{"root": "."}' >"$folder/ingest-$1.json"
    printf '\n== Round %s: agent `report` builds on it\n' "$1"
    "$ads" run examples/demo/report.py --agent report --store "$store" --trace \
        >"$folder/report-$1.json"
}

round 1
round 2

printf '\n== The report, from the store\n'
"$ads" get summary --namespace report --store "$store"

"$python" - "$folder" <<'PY'
import json, pathlib, sys

folder = pathlib.Path(sys.argv[1])
first, second, report = (
    json.loads((folder / f"{name}.json").read_text()) for name in ("ingest-1", "ingest-2", "report-2")
)
from_store = "from the store" if report["source"] == "cache" else "computed again"
print("\n== Summary")
print(f"round 1: {first['files']} files in {first['namespaces']} namespaces,"
      f" {first['analysed']} analysed")
print(f"round 2: {second['from_cache']} of {second['files']} files from the store,"
      f" {second['analysed']} analysed; report {from_store}")
PY

cat <<TXT

Look around:
  $ads namespaces --store $store
  $ads keys --namespace report:index --store $store
  $ads record summary --namespace report --store $store
TXT
