"""The options of one table: where it comes from, where it goes, and how its run is shown."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from saliency_engine.errors import ConfigError
from saliency_engine.options import check_values, flag_of, option, take_values

_PIPED = ("auto", "jsonl", "csv", "arrow")
_PROGRESS = ("auto", "bar", "lines", "json", "off")
_OF_RAY = ("ray_address", "actors", "gpus_per_actor", "cpus_per_actor")
Auto = Literal["auto"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableJob:
    """One table of a run: where it comes from and where it goes. ``-`` is stdin or stdout."""

    input: str | tuple[str, ...] = option("", "What to read: a table or clips, as the arguments; -: stdin.")
    output: str = option("", "Table to write, with one of the suffixes above; -: stdout.")
    output_format: str = option("auto", "Format of --output -; auto: that of the input.", _PIPED)
    no_header: bool = option(False, "CSV has no line with names: columns are column_1, column_2 and so on.")
    audit_json: str = option("", "JSON file for the audit: options, counts and provenance; default: none.")
    series: str = option("", "Parquet or Arrow file for the values of every sampled frame; default: none.")
    maps: str = option("", "Folder for the clips' aggregated saliency maps, one file each; default: none.")
    map_format: str = option("png", "Of --maps: gray PNG of 16 bits, or float32 for NumPy.", ("png", "npy"))
    map_grid: str = option("", "Write means over so many blocks, as in 16x16, in place of --maps' pixels.")
    rejects: str = option("", "File for JSON lines that are not rows; default: OUTPUT.rejects.jsonl.")
    max_failures: str = option("", "Stop, and write no output, when more rows fail: a number, or a share such as 5%.")
    shard: str = option("", "I/N, as in 3/16: compute this share of the clips into --memo, and write no table.")
    on: str = option("local", "ray: have the nodes of a Ray cluster compute the clips.", ("local", "ray"))
    ray_address: str = option("", "Of the cluster, HOST:PORT or auto; default: RAY_ADDRESS, else a Ray started here.")
    actors: str = option("", "Engines on the cluster: N, or MIN:MAX; default: as many as there is room for.")
    gpus_per_actor: float = option(0.0, "Cards that each actor needs; 0.5: two actors share one.", low=0.0)
    cpus_per_actor: int | Auto = option("auto", "Cores for each actor; auto: its share of a node.", low=1)
    progress: str = option("auto", "How progress is shown on stderr; auto: bar on a terminal, else lines.", _PROGRESS)
    verbose: bool = option(False, "Also say in the summary how long each stage was busy.")
    quiet: bool = option(False, "No progress and no summary on stderr.")

    def __post_init__(self) -> None:
        take_values(self)
        check_values(self)
        for name in ("input", "output"):
            if not getattr(self, name) and not (name == "output" and self.shard):
                raise ConfigError(f"{flag_of(name)} is missing: give a file, or - for a pipe")
        if not re.fullmatch(r"([1-9]\d{0,4}x[1-9]\d{0,4})?", self.map_grid):
            raise ConfigError(f"--map-grid is {self.map_grid!r}: write it as WIDTHxHEIGHT, such as 16x16")
        if self.map_grid and not self.maps:
            raise ConfigError(f"--map-grid {self.map_grid} is for maps, and none are written: give --maps, too")
        if not re.fullmatch(r"(\d+|\d+(\.\d+)?%)?", self.max_failures):
            raise ConfigError(f"--max-failures is {self.max_failures!r}: give a number of rows, or a share such as 5%")
        self._check_cluster()

    def _check_cluster(self) -> None:
        if self.on == "local":
            for field in dataclasses.fields(self):
                if field.name in _OF_RAY and getattr(self, field.name) != field.default:
                    raise ConfigError(f"{flag_of(field.name)} is for clusters: give --on ray, too, or leave it out")
            return
        match = re.fullmatch(r"([1-9]\d{0,5})(?::([1-9]\d{0,5}))?", self.actors or "1")
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ConfigError(f"--actors is {self.actors!r}: give a number, or the least and the most, as in 2:8")
        if self.maps:
            raise ConfigError(f"--maps {self.maps}: maps do not travel, so --on ray writes none: leave one of them out")
        if self.shard:
            raise ConfigError(f"--shard {self.shard} and --on ray divide the clips in two ways: give one of the two")
        if "-" in self.inputs:
            raise ConfigError("--on ray reads the input twice, which a pipe does not allow: write it to a file first")

    @property
    def inputs(self) -> tuple[str, ...]:
        """``input``, whether it is one path or several."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)

    @property
    def rejects_path(self) -> str:
        """The file for JSON lines that are not rows; empty, for a pipe without ``--rejects``: the first is an error."""
        return self.rejects or ("" if self.output in {"", "-"} else f"{self.output}.rejects.jsonl")
