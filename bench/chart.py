"""The run as a picture: one panel a measurement, its contenders by name, the targets as lines."""

from __future__ import annotations

import math
import statistics
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
from contenders import CONTENDERS
from rows import FLOORS, ROWS, UNSYNCED, Against, busy_disk, judge

# Blue, grey and orange stay apart for every kind of colour blindness, and each bar is named as well.
COLOURS = {"ours": "#0072B2", "floor": "#9A9A9A", "peer": "#E69F00"}
PANELS = (
    ("get_200", "get"), ("get_4k", "get"), ("miss", "get"),
    ("set_200", "set"), ("set_4k", "set"), ("writers", "together"),
    ("set_many", "set_many"), ("get_many", "get_many"), ("get_all", "get_all"),
    ("list_keys", "list_keys"), ("list_namespaces", "list_namespaces"), ("clear", "clear"),
    ("increment", "increment"), ("counters", "together"), ("counters", "slower"),
    ("lock", ""), ("claim", ""), ("get_or_compute", ""),
    ("hit", "get"), ("mixed", "get"), ("threads", ""),
    ("cold", ""), ("cache_memory", ""), ("credentials", ""),
    ("growth", ""), ("memory", "items"), ("memory", "idle"),
    ("mcp", ""),
    ("pg_get", "get"), ("pg_set", "set"), ("pg_set_many", "set_many"),
    ("pg_get_all", "get_all"), ("pg_list_keys", "list_keys"), ("pg_list_namespaces", "list_namespaces"),
    ("pg_clear", "clear"), ("pg_writers", "together"), ("pg_growth", ""),
)  # fmt: skip
COLUMNS = 3
# Whose growth is shown.
GROWTH = {"growth": "ours", "pg_growth": "ours-postgres"}
# Panels of several measures, most of them ours alone: a bar for each, with what it shows.
COMPARED = {
    "lock": (("set", "ours", "set"), ("lock", "ours", "lock + unlock")),
    "claim": (("few", "ours", "among few"), ("many", "ours", "among many, 9 in 10 done")),
    "get_or_compute": (("get", "ours", "get"), ("get_or_compute", "ours", "get_or_compute")),
    "mcp": (
        ("empty_stdio", "ours", "empty tool, stdio"),
        ("get_stdio", "ours", "get, stdio"),
        ("empty_http", "ours", "empty tool, HTTP"),
        ("get_http", "ours", "get, HTTP"),
    ),
    "hit": (
        ("cache", "ours-rust", "the cache alone"),
        ("uncounted", "ours-rust", "get, not counted"),
        ("get", "ours-rust", "get"),
        ("get", "raw-sqlite", "raw SQLite, C API"),
        ("get", "ours-rust-uncached", "get, no cache"),
    ),
    "mixed": (("get", "ours-rust", "get"), ("get", "ours-rust-uncached", "get, no cache")),
    "cold": (
        ("get", "ours-rust-uncached", "from Rust, no cache"),
        ("get", "ours-rust-full", "from Rust, cache full"),
        ("get", "ours-uncached", "from Python, no cache"),
        ("get", "ours-full", "from Python, cache full"),
    ),
    "threads": (
        ("one", "ours-rust", "1 thread"),
        ("two", "ours-rust", "2 threads, keys of their own"),
        ("two_on_the_same", "ours-rust", "2 threads, the same keys"),
        ("one", "ours-rust-uncached", "1 thread, no cache"),
        ("two", "ours-rust-uncached", "2 threads, no cache"),
    ),
    "cache_memory": (
        ("small", "ours-rust", "values of 200 B"),
        ("large", "ours-rust", "values of 4 KB"),
        ("small", "ours-rust-uncached", "200 B, no cache"),
        ("large", "ours-rust-uncached", "4 KB, no cache"),
    ),
    "credentials": (
        ("set_200", "ours-unchecked", "200 B, secrets=allow"),
        ("set_200", "ours-relaxed", "200 B, secrets=warn"),
        ("set_4k", "ours-unchecked", "4 KB, secrets=allow"),
        ("set_4k", "ours-relaxed", "4 KB, secrets=warn"),
    ),
}


@dataclass
class Bar:
    label: str
    value: float
    kind: str
    synced: bool = True


def kind_of(contender: str) -> str:
    if contender.startswith("ours"):
        return "ours"
    return "floor" if contender in FLOORS else "peer"


def bars(document: dict[str, Any], scenario: str, measure: str) -> list[Bar]:
    costs = document["results"][scenario]
    if scenario in COMPARED:
        return [
            Bar(label, statistics.median(costs[of][name]), kind_of(name), name not in UNSYNCED)
            for of, name, label in COMPARED[scenario]
            if name in costs[of]
        ]
    if scenario in GROWTH:
        ours = GROWTH[scenario]
        records = document["scenarios"][scenario]["prepared"].get(ours, {}).get("records")
        sizes = {"small": document["plan"]["growth_small"], "large": records}
        return [
            Bar(
                f"{call}, {sizes[which]:,}".replace("_", " ", 1),
                statistics.median(costs[f"{call}_{which}"][ours]),
                "ours",
            )
            for call in ("hot_get", "get", "set", "list_keys")
            for which in ("small", "large")
            if ours in costs[f"{call}_{which}"]
        ]
    fastest_last = document["scenarios"][scenario]["unit"] == "/s"
    found = [
        Bar(
            CONTENDERS[name].label or CONTENDERS[name].title,
            statistics.median(values),
            kind_of(name),
            name not in UNSYNCED,
        )
        for name, values in costs.get(measure, {}).items()
    ]
    return sorted(found, key=lambda bar: bar.value, reverse=fastest_last)


def target_of(document: dict[str, Any], scenario: str, measure: str) -> float | None:
    """The strictest target that is a number of this panel's own unit."""
    limits = []
    for row in ROWS:
        if (row.scenario, row.measure) != (scenario, measure):
            continue
        if row.against is None:
            limits.append(row.at_most)
        elif isinstance(row.against, Against):
            verdict = judge(document["results"], row)
            bound = row.at_most if row.at_most is not None else row.at_least
            if verdict.base is not None and bound is not None:
                limits.append(verdict.base + bound if row.against.difference else verdict.base * bound)
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def draw(document: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    plt.rcParams.update({
        "font.family": ["DejaVu Sans", "sans-serif"], "font.size": 8.5,
        "axes.spines.top": False, "axes.spines.right": False,
        "axes.spines.left": False, "axes.edgecolor": "#BBBBBB", "svg.hashsalt": "bench", "hatch.linewidth": 0.6,
        # Text as text: a third of the size, and it can be searched.
        "svg.fonttype": "none",
    })  # fmt: skip
    panels = [(each, bars(document, *each)) for each in PANELS if each[0] in document["results"]]
    panels = [(each, found) for each, found in panels if found]
    if not panels:
        raise SystemExit("there is nothing to draw")
    grid = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
    heights = [max(len(found) for _, found in line) + 2.4 for line in grid]
    note = footnote(document)
    header, footer = 1.15, 0.55 + 0.16 * len(note)
    height = sum(heights) * 0.215 + header + footer
    figure = plt.figure(figsize=(15, height), facecolor="white")
    layout = figure.add_gridspec(
        len(grid), COLUMNS, height_ratios=heights, left=0.135, right=0.955, wspace=0.78, hspace=0.42,
        top=1 - header / height, bottom=footer / height,
    )  # fmt: skip
    tallest = [max(len(found) for _, found in line) for line in grid]
    for r, line in enumerate(grid):
        for c, (each, found) in enumerate(line):
            panel(figure.add_subplot(layout[r, c]), document, each, found, tallest[r])
    figure.suptitle(
        "Agent Data Store beside its peers and its floors, in one run", x=0.02, y=1 - 0.28 / height, ha="left",
        va="center", fontsize=15, fontweight="bold",
    )  # fmt: skip
    legend = [
        Patch(color=COLOURS["ours"], label="Agent Data Store"),
        Patch(color=COLOURS["peer"], label="peer"),
        Patch(color=COLOURS["floor"], label="floor: what SQLite, the disk or parsing cost alone"),
        Patch(facecolor="white", edgecolor="#555555", hatch="/////", label="writes not synced to the disk"),
        Line2D([], [], color="#222222", linestyle=(0, (3, 2)), linewidth=1.2, label="target"),
    ]
    figure.legend(
        handles=legend, loc="center left", bbox_to_anchor=(0.014, 1 - 0.62 / height), ncols=5, frameon=False, fontsize=9
    )
    figure.text(0.02, 0.12 / height, "\n".join(note), fontsize=7.5, color="#555555", va="bottom", linespacing=1.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date of its own, so that the same results give the same file.
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def panel(axes: Any, document: dict[str, Any], each: tuple[str, str], found: list[Bar], rows: int) -> None:
    scenario, measure = each
    about = document["scenarios"][scenario]
    unit = about["unit"]
    title = about["title"]
    if scenario == "writers":
        title = f"{document['plan']['threads']} threads: {title} (more is better)"
    elif scenario == "counters":
        title += {"together": " (more is better)", "slower": ": the slower of them"}[measure]
    elif scenario == "mixed":
        title = "get, one operation in ten being a set, from Rust"
    elif scenario == "threads":
        title += " (more is better)"
    elif scenario == "increment":
        title += " of a number"
    elif scenario == "pg_writers":
        title = "PostgreSQL: 8 threads, durable sets a second"
    elif scenario in GROWTH:
        title = f"{'PostgreSQL' if scenario == 'pg_growth' else 'growth'}: one call, by number of records"
    elif scenario == "memory":
        title = {"items": f"memory: peak of items() over {document['plan']['all']:,} x 4 KB",
                 "idle": "memory: a process with an open, idle store"}[measure]  # fmt: skip
    axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold", x=-0.6, pad=6)
    limit = target_of(document, scenario, measure)
    lowest = min([bar.value for bar in found] + ([limit] if limit else []))
    highest = max([bar.value for bar in found] + ([limit] if limit else []))
    left = lowest / 2.5
    right = highest * (highest / left) ** 0.28
    for position, bar in enumerate(found):
        axes.barh(
            position, bar.value - left, left=left, height=0.74, linewidth=0.8, edgecolor=COLOURS[bar.kind],
            color=COLOURS[bar.kind] if bar.synced else "white", hatch=None if bar.synced else "/////",
        )  # fmt: skip
        weight = "bold" if bar.kind == "ours" else "normal"
        axes.text(bar.value * (right / left) ** 0.012, position, report.amount(bar.value, unit), va="center",
                  fontsize=8, fontweight=weight, zorder=5,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    # Bars of one row of panels are equally thick.
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_yticks(range(len(found)), [bar.label for bar in found])
    for label, bar in zip(axes.get_yticklabels(), found, strict=True):
        label.set_fontweight("bold" if bar.kind == "ours" else "normal")
    axes.tick_params(axis="y", length=0)
    decades = range(math.ceil(math.log10(left)), math.floor(math.log10(right)) + 1)
    ticks = [10.0**d for d in decades]
    if len(ticks) < 2:
        ticks = [m * 10.0**d for d in range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
                 for m in (1, 2, 5) if left <= m * 10.0**d <= right]  # fmt: skip
    axes.set_xticks(ticks, [tick_label(tick, unit) for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", colors="#777777", labelsize=7.5, length=0)
    if limit:
        axes.plot([limit, limit], [-0.5, len(found) - 0.5], color="#222222", linestyle=(0, (3, 2)), linewidth=1.2)


def tick_label(value: float, unit: str) -> str:
    if unit == "/s":
        return f"{value:,.0f}/s"
    if unit == "B":
        return f"{value / 1e6:g} MB"
    for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if value >= scale * 0.999:
            return f"{value / scale:g} {name}"
    return f"{value:g} s"


def footnote(document: dict[str, Any]) -> list[str]:
    lines = report.colophon(document, busy_disk(document["scenarios"]))
    lines = [part for line in lines for part in textwrap.wrap(line, 250)]
    lines[0] = "Medians; logarithmic scales, shorter is better unless said.  " + lines[0]
    return lines
