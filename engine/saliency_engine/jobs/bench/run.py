"""One benchmark from clips to the recommended command: table on stdout, talk on stderr, JSON and chart in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console

from saliency_engine.config import RunConfig
from saliency_engine.errors import ProviderError
from saliency_engine.jobs.bench import chart, clips, report
from saliency_engine.jobs.bench.measure import Bench
from saliency_engine.jobs.bench.recommend import advise
from saliency_engine.jobs.bench.settings import Asked
from saliency_engine.models.load import load_model
from saliency_engine.report.console import warn_of
from saliency_engine.report.terminal import printable
from saliency_engine.storage.atomic import write_json
from saliency_engine.video.synthetic import make_clips


def run_bench(named: Sequence[str], options: Mapping[str, Any], asked: Asked, json_file: str, chart_file: str) -> None:
    """Measure with the clips, folders and tables ``named``, with made clips where there are none.

    ``options`` are those of ``run`` that were given. Raises ``SaliencyError``, also when no setting runs: the table
    then says why.
    """
    console = Console(stderr=True)
    model = load_model(RunConfig(**options))
    warn_of(model)
    with ExitStack() as stack:
        if named:
            found = clips.find(named, RunConfig(**options, overwrite=True))
        else:
            console.print("no clips given: making six of 960x540, which stand in for yours only roughly")
            found = make_clips(Path(stack.enter_context(TemporaryDirectory(prefix="saliency-clips-"))))
        used = clips.spread(found)
        if len(used) < len(found):
            console.print(f"{len(found)} clips: measuring with {len(used)} of them, evenly chosen", highlight=False)
        bench = Bench(options, model, used, console)
        results = bench.run(asked)
    report.print_table(results)
    if not any(result.measured for result in results):
        raise ProviderError("no setting ran; the table says why")
    advice = advise(results, options)
    measured_on = {"made": not named, "found": len(found), "used": [clip.path for clip in bench.clips]}
    told = report.as_json(results, advice, model, options, {"clips": measured_on, "rounds": asked.rounds})
    if json_file:
        write_json(json_file, told)
    if chart_file:
        chart.draw(Path(chart_file), told)
    for reason in advice.reasons:
        console.print(printable(reason), markup=False, highlight=False, soft_wrap=True)
    click.echo(advice.command)
