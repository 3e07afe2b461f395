"""Draws docs/performance.svg: plot.py FILE < panels as JSON. Runs in an environment with matplotlib."""

from __future__ import annotations

import importlib
import json
import math
import sys
from typing import Any

_COLOURS = {
    "p2pcopy": "#0b6e4f",
    "p2pcopy, raw channel": "#3fae7d",
    "libdatachannel, raw channel": "#c8553d",
    "stock aiortc, raw channel": "#8d99ae",
    "scp": "#2b4c7e",
    "magic-wormhole": "#b08bbb",
}
_OTHERS = ("#3fae7d", "#7bc8a4", "#a5dcc0", "#d0eedf", "#e8b4a8")
_INCHES_PER_ROW, _INCHES_PER_COLUMN = 0.22, 5.5


def main() -> None:
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    # Text as text, and nothing that differs from run to run.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "p2pcopy", "font.size": 8})
    pyplot = importlib.import_module("matplotlib.pyplot")
    panels = json.load(sys.stdin)
    tallest = max(panels, key=_rows)
    columns = [each for each in ([panel for panel in panels if panel is not tallest], [tallest]) if each]
    height = _INCHES_PER_ROW * max(sum(map(_rows, some)) for some in columns)
    figure = pyplot.figure(figsize=(_INCHES_PER_COLUMN * len(columns), height), layout="constrained")
    for part, some in zip(figure.subfigures(1, len(columns), squeeze=False)[0], columns, strict=True):
        axes = part.subplots(len(some), 1, squeeze=False, gridspec_kw={"height_ratios": list(map(_rows, some))})
        for each, panel in zip(axes[:, 0], some, strict=True):
            _draw(each, panel)
    figure.savefig(sys.argv[1], metadata={"Date": None, "Creator": None})


def _rows(panel: dict[str, Any]) -> int:
    """Bars, titles of groups, and what is above and below."""
    return sum(len(bars) + 1 for bars in panel["groups"].values()) + 3


def _draw(axes: Any, panel: dict[str, Any]) -> None:
    place, names, most, least = 0.0, {}, 0.0, _least(panel)
    for title, bars in panel["groups"].items():
        axes.text(0, place, f" {title}", fontstyle="italic", va="center", transform=axes.get_yaxis_transform())
        place += 1
        for number, bar in enumerate(bars):
            colour = _COLOURS.get(bar["name"], _OTHERS[number % len(_OTHERS)])
            error = [[bar["median"] - bar["low"]], [bar["high"] - bar["median"]]]
            axes.barh(place, bar["median"], color=colour, xerr=error, error_kw={"elinewidth": 0.8, "capsize": 2})
            axes.text(max(bar["high"], least) * 1.12, place, f"{bar['median']:.3g}", va="center")
            names[place] = bar["name"]
            most = max(most, bar["high"])
            place += 1
    axes.set_xscale("log")
    axes.set_xlim(least, most * 3)
    axes.set_yticks(list(names), list(names.values()))
    axes.set_ylim(place - 0.3, -0.7)
    axes.set_title(f"{panel['title']}, MiB/s", loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)


def _least(panel: dict[str, Any]) -> float:
    """Where the axis begins: at 1 MiB/s, or at a power of ten below all."""
    lows = [bar["low"] for bars in panel["groups"].values() for bar in bars if bar["low"] > 0]
    return min(1.0, *(10.0 ** math.floor(math.log10(low)) for low in lows))


if __name__ == "__main__":
    main()
