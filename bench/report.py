"""The run as text: every number, then every target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from contenders import CONTENDERS
from rows import UNSYNCED, Results, Verdict, quartiles

COLUMNS = ("result", "row", "ours", "against", "theirs", "ratio", "middle half", "target")


def amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "/s":
        return f"{value:,.0f}/s"
    if unit == "B":
        return f"{value / 1e6:.1f} MB"
    for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if value >= scale:
            return f"{value / scale:.{2 if value < 10 * scale else 1 if value < 100 * scale else 0}f} {name}"
    return f"{value:.3g} s"


def unit_of(about: dict[str, Any], measure: str) -> str:
    return about.get("units", {}).get(measure, about.get("unit", "s"))


def table(header: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    rows = [header, tuple("-" * width for width in widths), *lines]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def numbers(results: Results, about: dict[str, dict[str, Any]]) -> str:
    """Every contender's median in every scenario."""
    parts = []
    for scenario, measures in results.items():
        for measure, costs in measures.items():
            unit = unit_of(about[scenario], measure)
            lines = []
            order = sorted(costs.items(), key=lambda item: statistics.median(item[1]), reverse=unit == "/s")
            for name, values in order:
                low, high = quartiles(values)
                mark = " (not synced)" if name in UNSYNCED else ""
                lines.append((
                    "  " + CONTENDERS[name].title + mark,
                    amount(statistics.median(values), unit),
                    f"{amount(low, unit)} - {amount(high, unit)}",
                ))  # fmt: skip
            for name, why in about[scenario]["skipped"].items():
                lines.append(("  " + CONTENDERS[name].title, "-", why))
            title = f"{about[scenario]['title']}: {measure}" if len(measures) > 1 else about[scenario]["title"]
            parts.append(table((title, "median", "middle half of rounds"), lines))
    return "\n\n".join(parts)


def targets(verdicts: list[Verdict], about: dict[str, dict[str, Any]]) -> str:
    lines = []
    for verdict in verdicts:
        row = verdict.row
        unit = unit_of(about.get(row.scenario, {}), row.measure)
        title = about.get(row.scenario, {}).get("title", row.scenario)
        if len(about.get(row.scenario, {}).get("measures", ())) > 1:
            title += f": {row.measure}"
        is_amount = row.against is None or getattr(row.against, "difference", False)

        def show(value: float | None, unit: str = unit, is_amount: bool = is_amount) -> str:
            if value is None:
                return "-"
            return amount(value, unit) if is_amount else f"{value:.2f} x"

        sign, bound = ("≤", row.at_most) if row.at_most is not None else ("≥", row.at_least)
        result = {True: "pass", False: "MISS", None: "-"}[verdict.met]
        if verdict.met is not None and not verdict.certain:
            result += "?"
        lines.append((
            result,
            title,
            amount(verdict.cost, unit),
            verdict.base_name or ("" if not verdict.missing else "-"),
            amount(verdict.base, unit) if verdict.base is not None else "",
            show(verdict.value) if not verdict.missing else verdict.missing,
            f"{show(verdict.low)} - {show(verdict.high)}" if verdict.low is not None else "",
            (f"{sign} {show(bound)}" if bound is not None else "-") + (f" ({row.note})" if row.note else ""),
        ))  # fmt: skip
    return table(COLUMNS, lines)


def colophon(document: dict[str, Any], busy: dict[str, str]) -> list[str]:
    """What a number of this run must be read with."""
    machine = document["machine"]
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB" if machine["memory_bytes"] else "unknown memory"
    lines = [
        f"{document['date']}  {machine['processor']}, {machine['processors']} processors, {memory}, "
        f"{machine['filesystem']}, {machine['system']}, Python {machine['python']}",
        f"commit {document['commit']}, "
        + ", ".join(f"{name} {version}" for name, version in document["versions"].items()),
        f"load {document['load_before'][0]:.1f} before, {document['load_after'][0]:.1f} after; "
        f"{document['seconds']:.0f} s" + ("; a quick run: sizes and rounds are cut down" if document["quick"] else ""),
    ]
    if busy:
        lines.append("? the disk was busy with something else: " + "; ".join(f"{n}: {why}" for n, why in busy.items()))
    return lines
