"""Command-line options made from the config's fields, so that each has one name, one help text and one check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from saliency_engine.config import OPTIONS
from saliency_engine.errors import ConfigError

_SHORT = {"output": ("-o",)}
CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class _AutoInt(click.ParamType[Any]):
    name = "integer|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto" or isinstance(value, int):
            return value
        try:
            return int(value)
        except ValueError:
            return self.fail(f"{value!r} is neither a whole number nor auto", param, ctx)


class SweepCommand(click.Command):
    """A command with --temporal-aggregator, which several aggregators may follow: one flag stands for each."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        flag, choices = "--temporal-aggregator", OPTIONS["temporal_aggregator"].metadata["choices"]
        spread: list[str] = []
        for word in args:
            follows = spread[-2:-1] == [flag] and word.partition(":")[0] in choices
            spread += [flag, word] if follows else [word]
        return super().parse_args(ctx, spread)


def config_options(names: Sequence[str], several: Sequence[str] = ()) -> Callable[[CommandT], CommandT]:
    """Options for the config fields of these names. One that is not given is ``None`` or empty: a file may give it.

    Those in ``several`` may be given again, and are checked elsewhere.
    """

    def decorate(command: CommandT) -> CommandT:
        for name in reversed(names):
            command = (_make_several if name in several else _make_option)(OPTIONS[name])(command)
        return command

    return decorate


def config_lists(helps: Mapping[str, str]) -> Callable[[CommandT], CommandT]:
    """Options for the config fields that ``helps`` names and explains; each may be given again for one more value."""

    def decorate(command: CommandT) -> CommandT:
        for name, text in reversed(list(helps.items())):
            command = click.option(_flag_of(name), multiple=True, type=_kind_of(OPTIONS[name]), help=text)(command)
        return command

    return decorate


def take_inputs(arguments: Sequence[str], option: str) -> str | tuple[str, ...]:
    """What a command reads: its ``arguments``, or the value of its ``option`` --input; empty where neither is given.

    Raises ``ConfigError`` where both are.
    """
    if arguments and option:
        raise ConfigError(f"the input is given twice, as {arguments[0]} and by --input {option}: keep one")
    return option or (arguments[0] if len(arguments) == 1 else tuple(arguments))


def given_only(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the command line gave."""
    return {name: value for name, value in values.items() if value not in (None, ())}


def _make_option(field: dataclasses.Field[Any]) -> Callable[[CommandT], CommandT]:
    default, help_text = field.default, field.metadata["help"]
    if isinstance(default, bool):
        return click.option(_flag_of(field.name), is_flag=True, default=None, help=help_text)
    if isinstance(default, tuple):
        kind = _kind_of(field) if field.metadata["choices"] else str
        return click.option(_flag_of(field.name), multiple=True, type=kind, help=help_text)
    shown = "" if default in ("", 0) else f"  [default: {default}]"
    flags = [_flag_of(field.name), *_SHORT.get(field.name, ())]
    return click.option(*flags, type=_kind_of(field), metavar=_metavar_of(field), default=None, help=help_text + shown)


def _make_several(field: dataclasses.Field[Any]) -> Callable[[CommandT], CommandT]:
    shown = f"  [default: {field.default}]" if field.default else ""
    text = f"{field.metadata['help']} May be given again.{shown}"
    return click.option(_flag_of(field.name), multiple=True, metavar=_metavar_of(field), help=text)


def _flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def _metavar_of(field: dataclasses.Field[Any]) -> str | None:
    """The choices of an option, where click itself does not know them."""
    choices = field.metadata["choices"]
    return f"[{'|'.join(choices)}]" if choices and _kind_of(field) is str else None


def _kind_of(field: dataclasses.Field[Any]) -> Any:
    choices = field.metadata["choices"]
    if field.name == "temporal_aggregator":
        return str  # any alpha may follow ema, as in ema:0.3; the config checks it
    return click.Choice(choices) if choices else _AutoInt() if field.default == "auto" else type(field.default)
