"""The router benchmark: files of query, tools and answers through a router, into one object of metrics; several side by side.

    evaluate([Path("slurp_devel.jsonl.xz")], get_router("bm25")) -> {"router": "bm25", "files": {"slurp_devel": M}, "all": M}

Each line is one utterance without a conversation. A fixed now (a Saturday morning) makes runs comparable.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from voice_needle.errors import ConfigError
from voice_needle.evaluation.metrics import Line, norm, read_answer, summarise
from voice_needle.events import Outcome, RouteContext, Transcript
from voice_needle.route.engine import Router
from voice_needle.tools import Tool, Toolset

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
_COLUMNS = ("tool_accuracy", "argument_f1", "exact_match", "refusal_precision", "refusal_recall", "wrong_executed", "coverage",
            "chained_success")  # fmt: skip


def evaluate(
    files: Sequence[Path | str],
    router: Router,
    *,
    name: str | None = None,
    limit: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run `router` over every line of `files` (.jsonl or .jsonl.xz). limit: at most so many lines of each file.

    Errors: ConfigError for a file that is missing, empty or unreadable, and for a line that is not what the format asks (file:line).
    """
    everything: list[Line] = []
    results: dict[str, Any] = {}
    with _progress(progress) as bars:
        for given in files:
            path = Path(given)
            read = list(rows(path, limit))
            if not read:
                raise ConfigError(f"{path} has no lines.", fix="give a file with one JSON object a line")
            lines = []
            for number, row in bars.track(read, description=f"{name or router.name} {label(path)}"):
                lines.append(_score(row, router, f"{path}:{number}"))
            results[label(path)] = summarise(lines)
            everything += lines
    return {"router": name or router.name, "files": results, "all": summarise(everything)}


def compare(files: Sequence[Path | str], routers: Sequence[Router], *, limit: int | None = None) -> dict[str, Any]:
    """`evaluate` for each router: {router: its object}."""
    return {router.name: evaluate(files, router, limit=limit) for router in routers}


def table(reports: Sequence[Mapping[str, Any]], file: str | None = None) -> Table:
    """The metrics of several reports side by side, for a screen. file: one file's label; all of them without."""
    shown = Table(title=f"{file or 'all files'} (95 % intervals in brackets)")
    shown.add_column("metric")
    for report in reports:
        shown.add_column(str(report["router"]), justify="right")
    parts = [report["files"][file] if file else report["all"] for report in reports]
    shown.add_row("n", *(str(part["n"]) for part in parts))
    for metric in _COLUMNS:
        shown.add_row(metric.replace("_", " "), *(_cell(part[metric], part["ci95"].get(metric)) for part in parts))
    for metric in ("executed", "ms_p50", "ms_p95"):
        shown.add_row(metric.replace("_", " "), *(str(part[metric]) for part in parts))
    return shown


def label(path: Path) -> str:
    """A file's name in a report: without its endings."""
    return path.name.removesuffix(".xz").removesuffix(".jsonl")


def _cell(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" + (f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else "")


def _progress(shown: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not shown or not console.is_terminal,
        transient=True,
    )


def _open(path: Path) -> IO[str]:
    return lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8")


def rows(path: Path, limit: int | None = None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, object) of each line that is not blank."""
    number = 0
    try:
        with _open(path) as lines:
            for number, text in enumerate(lines, start=1):
                if limit is not None and number > limit:
                    return
                if text.strip():
                    yield number, _parsed(text, f"{path}:{number}")
    except (OSError, lzma.LZMAError, EOFError, UnicodeDecodeError) as problem:
        where = f"{path}:{number + 1}" if number else str(path)
        raise ConfigError(f"{where} cannot be read: {problem}", fix=f"ls -l {path}") from problem


def _parsed(text: str, where: str) -> Mapping[str, Any]:
    fix = 'each line: {"query": "...", "tools": [...], "answers": [...]}'
    try:
        row = json.loads(text)
    except ValueError as problem:
        raise ConfigError(f"{where} is not JSON: {problem}", fix=fix) from problem
    if not isinstance(row, dict):
        raise ConfigError(f"{where} is not an object.", fix=fix)
    for key, kind in (("query", str), ("tools", list), ("answers", list)):
        if not isinstance(row.get(key), kind):
            raise ConfigError(f"{where} has no {key!r} of type {kind.__name__}.", fix=fix)
    return row


def _score(row: Mapping[str, Any], router: Router, where: str) -> Line:
    lists = bool((row.get("meta") or {}).get("accepted_value_lists"))
    try:
        tools = Toolset(Tool.from_schema(tool) for tool in row["tools"])
        expected = tuple(read_answer(answer, lists=lists) for answer in row["answers"])
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ConfigError(f"{where} has a tool or an answer that is none: {problem}", fix=f"mend {where}") from problem
    router.prepare(tools)
    decision = router.route(Transcript(row["query"]), tools, RouteContext(now=NOW))
    proposing = decision.outcome in (Outcome.ACT, Outcome.CONFIRM) and decision.act is None
    proposed = tuple(
        (call.tool, {name: norm(value) for name, value in call.arguments.items()})
        for call in (decision.calls if proposing else ())
    )
    return Line(expected, proposed, bool(proposed) and decision.outcome is Outcome.ACT, decision.elapsed_ms)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m voice_needle.evaluation.router ROUTER[,ROUTER...] FILE...`: the table on stderr, JSON on stdout."""
    from voice_needle.route import get_router

    given = list(sys.argv[1:] if arguments is None else arguments)
    reports = [evaluate(given[1:], get_router(name), name=name) for name in given[0].split(",")]
    Console(stderr=True).print(table(reports))
    print(json.dumps(reports if len(reports) > 1 else reports[0]))


if __name__ == "__main__":
    main()
