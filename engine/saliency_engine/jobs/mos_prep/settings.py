"""What `mos-prep` is asked for, and the columns that it knows by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saliency_engine.errors import ConfigError
from saliency_engine.tables.formats import strip_suffix
from saliency_engine.tables.labels import CONTENT_COLUMNS, MORE_COLUMNS
from saliency_engine.tables.selection import MOS_COLUMNS

FEATURES = (
    *("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2", "saliency_mean", "saliency_var"),
    *("shot_count_norm", "shot_mean_len_norm", "shot_cut_density"),
)
"""What a MOS head of VMAFx reads, in its order."""
TAGS = ("model_id", "aggregator", "ema_alpha", "sampling")
"""The tag columns of a table with saliency, without its prefix."""
OF_LABELS = frozenset((*MOS_COLUMNS, *MORE_COLUMNS, *CONTENT_COLUMNS, "mos_label_status", "mos_label_source", "fold"))
"""Columns that are labels, or say how rows are divided, and so no features."""
OF_FRAMES = frozenset(("frame", "frame_index", "frame_number", "frame_num", "frameNum", "Frame", "pts"))
"""Columns that number the frames of a clip."""
SPLIT_RULES = ("auto", "explicit", "chug", "folds")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of `mos-prep`. Raises ``ConfigError`` for one that is out of range."""

    tables: Sequence[str]
    output: str
    labels: Sequence[str] = ()
    """Tables with scores; none: the tables themselves have them."""
    vmaf_logs: Sequence[str] = ()
    npz: str = ""
    prefix: str = ""
    """What the names of the columns with saliency begin with; empty: the usual one, where there is no other."""
    feature_key_column: str = ""
    feature_key_regex: str = ""
    label_key_column: str = ""
    label_key_regex: str = ""
    label_mos_column: str = ""
    label_scale: str = "auto"
    label_no_header: bool = False
    key_normalize: str = "auto"
    min_match_rate: float = 0.95
    content_column: str = ""
    split: str = "auto"
    folds: int = 10
    seed: int = 0
    allow_mixed: bool = False

    def __post_init__(self) -> None:
        if not self.tables and not self.vmaf_logs:
            raise ConfigError("no table is given: name those that `saliency-batch run` has written")
        if not 0 <= self.min_match_rate <= 1:
            raise ConfigError(f"--min-match-rate is {self.min_match_rate}: give a share from 0 to 1")
        if self.folds < 3:
            raise ConfigError(
                f"--folds is {self.folds}: one fold is for testing, one for validation, the rest to train"
            )

    @property
    def contents(self) -> tuple[str, ...]:
        """The columns that may say what a clip shows, the likeliest first."""
        return (self.content_column,) if self.content_column else CONTENT_COLUMNS

    def beside(self, suffix: str) -> str:
        """The path of a file that is written beside the output."""
        return str(Path(self.output).with_name(strip_suffix(self.output) + suffix))
