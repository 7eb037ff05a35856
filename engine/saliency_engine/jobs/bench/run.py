"""One benchmark, from the clips to the recommended command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from saliency_engine.config import RunConfig
from saliency_engine.errors import ProviderError
from saliency_engine.jobs.bench import chart, clips, report
from saliency_engine.jobs.bench.measure import Bench
from saliency_engine.jobs.bench.recommend import Advice, advise, with_reuse
from saliency_engine.jobs.bench.settings import Choices
from saliency_engine.models.load import load_model
from saliency_engine.report.notes import warn_of, warn_of_options
from saliency_engine.report.terminal import printable
from saliency_engine.storage.atomic import check_output, write_json
from saliency_engine.storage.overwrite import Files
from saliency_engine.types import ClipReference
from saliency_engine.video.synthetic import make_clips


def run_bench(
    paths: Sequence[str], options: Mapping[str, Any], choices: Choices, json_file: str, chart_file: str
) -> str:
    """Measure with the clips that ``paths`` name; returns the recommended command. Without paths clips are made.

    The table of results is printed on stdout, all else on stderr. ``options`` are those of ``run`` that were given.
    ``json_file`` and ``chart_file`` are written where they are not empty. Raises ``SaliencyError``, also when no
    setting runs: then the table says why.
    """
    console, config = Console(stderr=True), RunConfig(**options, overwrite=True)
    files = _list_files(paths, config, json_file, chart_file)
    model = load_model(config)
    files.reads("--model", *model.files)
    warn_of(model)
    warn_of_options(config)
    with ExitStack() as stack:
        known = clips.find(paths, config, files) if paths else _make_clips(console, stack)
        used = clips.spread(known)
        if len(used) < len(known):
            console.print(f"{len(known)} clips: measuring with {len(used)} of them, evenly chosen", highlight=False)
        bench = Bench(options, model, used, console)
        results = bench.run(choices)
        report.print_table(results)
        if not any(result.measured for result in results):
            raise ProviderError("no setting ran; the table says why")
        advice, reuse = advise(results, options), dict[str, Any]()
        if choices.reuse:
            advice, reuse = _try_reuse(bench, advice, options)
    measured_on = {"made": not paths, "found": len(known), "used": [clip.path for clip in bench.clips]}
    method = {"clips": measured_on, "rounds": choices.rounds, **reuse}
    document = report.as_json(results, advice, model, options, method)
    if json_file:
        write_json(json_file, document)
    if chart_file:
        chart.draw_chart(Path(chart_file), document)
    for reason in advice.reasons:
        console.print(printable(reason), markup=False, highlight=False, soft_wrap=True)
    return advice.command


def _try_reuse(bench: Bench, advice: Advice, options: Mapping[str, Any]) -> tuple[Advice, dict[str, Any]]:
    """``advice`` on ``--reuse``, too, and what was tried, as JSON."""
    trials = bench.try_reuse(advice.setting)
    report.print_trials(trials)
    return with_reuse(advice, trials, options), {"reuse": [trial.as_json() for trial in trials]}


def _make_clips(console: Console, stack: ExitStack) -> list[ClipReference]:
    """Clips that are gone with ``stack``."""
    console.print("no clips given: measuring with six made ones of 960x540, which resemble yours only roughly")
    return make_clips(Path(stack.enter_context(TemporaryDirectory(prefix="saliency-clips-"))))


def _list_files(paths: Sequence[str], config: RunConfig, json_file: str, chart_file: str) -> Files:
    """The files of a benchmark; raises ``ConfigError`` where one would be written over another.

    Raises ``OutputError`` where one cannot be written: now, and not after minutes of measuring.
    """
    files = Files()
    files.reads("CLIPS", *paths)
    files.reads("--model-path", config.model_path)
    files.writes("--json", json_file, holds=".json")
    files.writes("--chart", chart_file, holds=".png")
    for path in (json_file, chart_file):
        check_output(path)
    return files
