"""The report of a run: on the terminal, as JSON, and as Markdown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from checking import Check


def say(text: str) -> None:
    """Write what happens, as it happens."""
    print(text, flush=True)


def build(
    facts: dict[str, Any],
    totals: dict[str, Any],
    faults: dict[str, int],
    left_out: dict[str, str],
    recoveries: dict[str, dict[str, float]],
    checks: list[Check],
) -> dict[str, Any]:
    return {
        "run": facts,
        "totals": totals,
        "faults": faults,
        "left_out": left_out,
        "recoveries": recoveries,
        "checks": [vars(check) for check in checks],
        "clean": not any(check.broken for check in checks),
    }


def markdown(report: dict[str, Any], most: int = 10) -> str:
    lines = [*_table("run", "", report["run"])]
    lines += ["", *_table("tasks", "", _flat(report["totals"]))]
    lines += ["", *_table("fault", "times", report["faults"])]
    for name, why in report["left_out"].items():
        lines.append(f"| {name} | left out: {why} |")
    lines += ["", "| gone | times | noticed after | all its tasks ran again after |"]
    lines.append("|---|---|---|---|")
    for how, found in report["recoveries"].items():
        times = [
            "{:g} s, at most {:g} s".format(*found[what])
            for what in ("noticed", "again")
        ]
        lines.append(f"| {how} | {found['count']} | {times[0]} | {times[1]} |")
    lines += ["", "| promise | looked at | broken |", "|---|---|---|"]
    for check in report["checks"]:
        broken = len(check["broken"])
        lines.append(f"| {check['promise']} | {check['looked_at']:,} | {broken} |")
    for check in report["checks"]:
        if check["broken"]:
            lines += ["", f"BROKEN: {check['promise']}"]
            lines += [f"- {what}" for what in check["broken"][:most]]
            if len(check["broken"]) > most:
                lines.append(f"- and {len(check['broken']) - most} more")
    return "\n".join(lines)


def save(report: dict[str, Any], directory: Path) -> None:
    (directory / "report.json").write_text(json.dumps(report, indent=2, default=str))
    (directory / "report.md").write_text(markdown(report, 1000) + "\n")


def _table(left: str, right: str, rows: dict[str, Any]) -> list[str]:
    lines = [f"| {left} | {right} |", "|---|---|"]
    return lines + [f"| {name} | {_text(value)} |" for name, value in rows.items()]


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _flat(totals: dict[str, Any]) -> dict[str, Any]:
    flat = dict(totals)
    for status, count in flat.pop("statuses").items():
        flat[f"ended {status}"] = count
    return flat
