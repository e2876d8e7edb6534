"""``python -m tests.bench.plots``: the JSON of the benches as pictures beside it."""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed

from matplotlib import pyplot as plt

from tests.bench.saved import RESULTS

INCHES = (8.0, 4.0)
MEMORY_BOUND_MIB = 150


def main() -> None:
    """Draw what has been measured; a bench that has not run is left out."""
    for name, draw in (("load", draw_load), ("creates", draw_creates), ("sync", draw_sync)):
        file = RESULTS / f"{name}.json"
        if file.exists():
            figure = plt.figure(figsize=INCHES, layout="constrained")
            draw(figure, json.loads(file.read_text()))
            figure.savefig(file.with_suffix(".png"), dpi=120)
            plt.close(figure)
            print(f"drawn: {file.with_suffix('.png').name}")


def draw_load(figure: Any, rows: list[dict[str, Any]]) -> None:  # noqa: ANN401 (matplotlib has no types)
    """Draw reviews a second, a group of bars for each size and number of connections."""
    axes = figure.subplots()
    groups = list(dict.fromkeys((row["review_bytes"], row["connections"]) for row in rows))
    webhooks = list(dict.fromkeys(row["webhook"] for row in rows))
    width = 0.8 / len(webhooks)
    for number, webhook in enumerate(webhooks):
        values = [row["per_second"] for group in groups for row in rows if _is(row, webhook, group)]
        positions = [index + number * width for index in range(len(groups))]
        axes.bar(positions, values, width, label=webhook)
    labels = [f"{size / 1000:.0f} kB\n{connections} conn." for size, connections in groups]
    axes.set_xticks([index + 0.4 - width / 2 for index in range(len(groups))], labels)
    axes.set_ylabel("reviews a second, one core")
    axes.legend()


def _is(row: dict[str, Any], webhook: str, group: tuple[int, int]) -> bool:
    return row["webhook"] == webhook and (row["review_bytes"], row["connections"]) == group


def draw_creates(figure: Any, rows: list[dict[str, Any]]) -> None:  # noqa: ANN401
    """Draw Pods a second: the median as a bar, the rounds as points; one colour for each situation."""
    axes = figure.subplots()
    colors = {
        situation: f"C{number}" for number, situation in enumerate(dict.fromkeys(row["situation"] for row in rows))
    }
    for situation, color in colors.items():
        axes.barh(0, 0, color=color, label=situation)
    for number, row in enumerate(rows):
        axes.barh(number, row["pods_per_second"], color=colors[row["situation"]])
        axes.plot(row["rounds"], [number] * len(row["rounds"]), "k.", markersize=5)
    axes.set_yticks(range(len(rows)), [row["injector"] for row in rows])
    axes.invert_yaxis()
    axes.legend()
    axes.set_xlabel("Pods a second through the API server, by dry run")


def draw_sync(figure: Any, rows: list[dict[str, Any]]) -> None:  # noqa: ANN401
    """Draw by the number of namespaces: how long it takes for each of them, and the memory."""
    cost, memory = figure.subplots(1, 2)
    sizes = [row["namespaces"] for row in rows]
    for name, text in (
        ("cold_start", "cold start"),
        ("cold_start_referenced", "cold start, references are there"),
        ("rotation", "rotation"),
    ):
        cost.plot(sizes, [row[name]["seconds"] / row["namespaces"] * 1000 for row in rows], "o-", label=text)
    cost.set_ylabel("milliseconds for each namespace")
    memory.plot(sizes, [row["cold_start"]["rss_mib"] for row in rows], "o-", label="after the cold start")
    memory.plot(sizes, [row["events"]["rss_mib"] for row in rows], "o-", label="20,000 events later")
    memory.axhline(MEMORY_BOUND_MIB, color="grey", linestyle="--", label="bound")
    memory.set_ylabel("memory of sync (RSS), MiB")
    for axes in (cost, memory):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("namespaces")
        axes.set_ylim(bottom=0)
        axes.legend()


if __name__ == "__main__":
    main()
