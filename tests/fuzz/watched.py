"""A long campaign with a progress bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.fuzz.campaign import Report, Target, campaign


def watched(target: Target, inputs: int, seed: int) -> Report:
    """`campaign`, which tells on standard error how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(target.name, total=inputs)

        def tell(report: Report) -> None:
            failed = f", failures {len(report.failures)}" if report.failures else ""
            progress.update(task, completed=report.inputs, description=f"{target.name}{failed}")

        report = campaign(target, inputs, seed, tell=tell)
        tell(report)
        return report
