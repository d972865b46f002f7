"""Measures Agent Data Store, its floors and its peers side by side. See README.md."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import chart
import postgres
import report
from contenders import CONTENDERS
from processes import Worker
from rows import ROWS, busy_disk, judge
from scenario import Plan, Scenario
from scenarios import SCENARIOS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def run(scenario: Scenario, contenders: list[str], folder: Path, plan: Plan, versions: dict[str, str]) -> tuple[
    dict[str, dict[str, list[float]]], dict[str, Any]
]:  # fmt: skip
    """Every contender in turn, round after round, the first of each round another one."""
    about: dict[str, Any] = {
        "title": scenario.title, "unit": scenario.unit, "units": scenario.units, "measures": scenario.measures,
        "skipped": {}, "prepared": {}, "disk": [],
    }  # fmt: skip
    costs: dict[str, dict[str, list[float]]] = {measure: {} for measure in scenario.measures}
    syncs = Worker("fdatasync", "disk", folder / "disk", plan) if scenario.writes else None
    workers: dict[str, Worker] = {}

    def failed(name: str, answer: dict[str, Any]) -> bool:
        why = answer.get("skipped") or answer.get("error")
        if not why:
            return False
        about["skipped"][name] = why
        if "error" in answer:
            print(f"  {name}: {why}", file=sys.stderr)
        return True

    def start(name: str) -> Worker:
        return Worker(name, scenario.name, folder / f"{name}-{generation}", plan)

    def begin(name: str) -> None:
        """A process with data of its own."""
        workers[name] = worker = start(name)
        answer = worker.ask("prepare")
        if failed(name, answer):
            drop(name)
            return
        versions.update(answer["versions"])
        about["prepared"][name] = answer["value"]
        if scenario.fresh:
            worker.close()

    def drop(name: str) -> None:
        """A contender with half its rounds is none."""
        workers.pop(name).close()
        for each in costs.values():
            each.pop(name, None)

    generation = 0
    rounds_of_each = math.ceil(scenario.rounds() / scenario.processes)
    try:
        for name in contenders:
            begin(name)
        if syncs and not about_disk(syncs.ask("prepare")):
            syncs.close()
            syncs = None
        for turn in range(scenario.rounds()):
            if turn // rounds_of_each > generation:
                generation += 1
                for name in list(workers):
                    workers[name].close()
                    shutil.rmtree(folder / f"{name}-{generation - 1}", ignore_errors=True)
                    begin(name)
            if syncs:
                about["disk"] += about_disk(syncs.ask("set"))
            names = list(workers)
            shift = turn % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                for measure in scenario.measures:
                    worker = start(name) if scenario.fresh else workers[name]
                    answer = worker.ask(measure)
                    if scenario.fresh:
                        worker.close()
                    if scenario.writes:
                        settle(folder / f"{name}-{generation}")
                    if "skipped" in answer:
                        continue
                    if failed(name, answer):
                        drop(name)
                        break
                    costs[measure].setdefault(name, []).append(answer["value"])
    finally:
        for worker in (*workers.values(), *([syncs] if syncs else [])):
            worker.close()
        shutil.rmtree(folder, ignore_errors=True)
    return costs, about


def about_disk(answer: dict[str, Any]) -> list[Any]:
    """What the disk's own process has measured: nothing where it cannot run, and the rest goes on without."""
    if "value" in answer:
        return [answer["value"]]
    print(f"  the disk's own speed is not known: {answer.get('skipped') or answer.get('error')}", file=sys.stderr)
    return []


def settle(folder: Path) -> None:
    """Waits for a contender's files to be on the disk: from outside, because closing a file drops a process's locks."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def machine(folder: Path) -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    memory = None
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        pass
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()}",
        "filesystem": filesystem(folder),
        "python": platform.python_version(),
    }


def commit() -> str:
    """What the installed package was built from; `run` notes it, as the tree may have moved on since."""
    try:
        return (ROOT / "target" / "bench-wheels" / "commit").read_text().strip()
    except OSError:
        return "unknown"


def filesystem(folder: Path) -> str:
    """The type of the file system that holds the folder, where the system says so."""
    best, kind = "", "unknown"
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    for line in mounts:
        _, point, type_of, *_ = line.split()
        inside = str(folder) == point or str(folder).startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, type_of
    return kind


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute: smaller sizes, few rounds")
    parser.add_argument("--only", metavar="NAMES", help=f"contenders, by comma: {', '.join(CONTENDERS)}")
    parser.add_argument("--scenario", metavar="NAMES", help=f"scenarios, by comma: {', '.join(SCENARIOS)}")
    parser.add_argument("--growth", type=int, metavar="RECORDS", help="size of the large store (0: leave growth out)")
    parser.add_argument("--chart", nargs="?", type=Path, const=ROOT / "docs" / "bench.svg", metavar="FILE",
                        help="draw the results (default docs/bench.svg)")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=ROOT / "target" / "bench",
                        help="where the stores are made: on the disk that is to be measured")  # fmt: skip
    parser.add_argument("--redraw", type=Path, metavar="JSON", help="measure nothing: show and draw an earlier run")
    return parser.parse_args()


def names(given: str | None, known: dict[str, Any]) -> list[str]:
    chosen = given.split(",") if given else list(known)
    for name in chosen:
        if name not in known:
            sys.exit(f"there is no {name!r}; there are {', '.join(known)}")
    return chosen


def measure(args: argparse.Namespace) -> dict[str, Any]:
    plan = Plan()
    if args.growth:
        plan = Plan(growth_large=args.growth)
    if args.quick:
        plan = plan.quick()
    chosen = names(args.only, CONTENDERS)
    scenarios = [name for name in names(args.scenario, SCENARIOS) if name != "disk"]
    if args.growth == 0:
        scenarios = [name for name in scenarios if not name.endswith("growth")]
    args.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=args.folder.resolve()))
    document: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(),
        "machine": machine(folder),
        "load_before": os.getloadavg(),
        "plan": asdict(plan),
        "quick": args.quick,
        "versions": {},
        "scenarios": {},
        "results": {},
    }
    if document["machine"]["filesystem"] == "tmpfs":
        print("the folder is in memory: durable writes cost nothing there and their rows mean nothing", file=sys.stderr)
    contenders = {name: [peer for peer in SCENARIOS[name].contenders if peer in chosen] for name in scenarios}
    needs_postgres = any(CONTENDERS[peer].on_postgres for peers in contenders.values() for peer in peers)
    started = time.monotonic()
    try:
        with postgres.server(needs_postgres):
            for name in scenarios:
                scenario = SCENARIOS[name](plan)
                supported = [peer for peer in contenders[name] if scenario.supports(CONTENDERS[peer])]
                began = time.monotonic()
                costs, about = run(scenario, supported, folder / name, plan, document["versions"])
                about["seconds"] = time.monotonic() - began
                document["results"][name], document["scenarios"][name] = costs, about
                print(f"{about['title']}: {about['seconds']:.0f} s", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    document["seconds"] = time.monotonic() - started
    document["load_after"] = os.getloadavg()
    return document


def main() -> None:
    args = options()
    document = json.loads(args.redraw.read_text()) if args.redraw else measure(args)
    results, about = document["results"], document["scenarios"]
    verdicts = [judge(results, row) for row in ROWS if row.scenario in results]
    busy = busy_disk(about)
    for verdict in verdicts:
        verdict.doubt = busy.get(verdict.row.scenario, "")
    document["targets"] = [verdict.as_json() for verdict in verdicts]
    if not args.redraw:
        folder = HERE / "results"
        folder.mkdir(exist_ok=True)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        for name in (document["date"].replace(":", ""), "latest"):
            (folder / f"{name}.json").write_text(text + "\n")
    print(report.numbers(results, about))
    print()
    print(report.targets(verdicts, about))
    print()
    for line in report.colophon(document, busy):
        print(line)
    if args.chart:
        chart.draw(document, args.chart)
        print(f"chart: {args.chart}")


if __name__ == "__main__":
    main()
