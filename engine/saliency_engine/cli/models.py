"""``saliency-batch models``: known, verified, installed models. Heavy imports live inside the commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from saliency_engine.models import registry
from saliency_engine.models.entry import Entry
from saliency_engine.models.signature import DEFAULT_IDENTITY, DEFAULT_ISSUER, Expected
from saliency_engine.report.terminal import printable

if TYPE_CHECKING:
    from saliency_engine.models.install import Checked

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)


class _Sha256(click.ParamType[Any]):
    name = "hex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            self.fail(f"{value!r} is not 64 hex digits", param, ctx)
        return value


def _checks(command: CommandT) -> CommandT:
    """The options that say what a model must be."""
    options = (
        click.option("--sha256", type=_Sha256(), default=None, help="The model's sha256 must be this."),
        click.option(
            "--certificate-identity-regexp",
            "identity",
            default=None,
            help="Who must have signed: an expression for the whole identity.  [default: a workflow of VMAFx/vmafx]",
        ),
        click.option(
            "--certificate-oidc-issuer",
            "issuer",
            default=None,
            help="Address of the service that must have confirmed who the signer is.  [default: GitHub Actions]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(short_help="List, verify, fetch and install models.")
def models() -> None:
    """Models by id: those built in, and those verified and installed in your model folder.

    \b
    Example:
      saliency-batch models list
    """


@models.command("list", short_help="Every known model.")
def list_command() -> None:
    """Print every known model: id, where its bytes are, how they are verified, input size, licence.

    Below each stand what it is good for, and how to run or to get it.

    \b
    Example:
      saliency-batch models list
    """
    known, problems = registry.entries()
    rows = [("id", "state", "verified by", "input", "licence")]
    rows += [(entry.id, entry.state, _verified_by(entry), entry.input_size, entry.licence) for entry in known.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, entry in zip(rows, [None, *known.values()], strict=True):
        click.echo(printable("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()))
        if entry is not None:
            purpose = entry.purpose or (f"A variant of {entry.variant_of}." if entry.variant_of else "")
            way = entry.way_to_it[0].upper() + entry.way_to_it[1:]
            for line in filter(None, (purpose, f"{way}.")):
                click.echo(printable(f"    {line}"))
    for problem in problems:
        click.echo(f"warning: {printable(problem)}", err=True)
    folder = registry.home()
    if folder is None:
        click.echo("note: HOME is not set, so there is no model folder; SALIENCY_BATCH_HOME can name one", err=True)


@models.command(short_help="One model's registry entry.")
@click.argument("model_id", metavar="ID")
def show(model_id: str) -> None:
    """Print a model's registry entry as JSON, and where its card is.

    \b
    Example:
      saliency-batch models show saliency_open_v1
    """
    entry = registry.find(model_id)
    places = {"folder": str(entry.folder) if entry.folder else None, "card": entry.card or None}
    document = {**entry.as_json(), "state": entry.state, **places}
    click.echo(json.dumps(document, indent=2))


@models.command(short_help="Check a model's signature and hash.")
@click.argument("model")
@click.option("--bundle", type=_FILE, help="Sigstore bundle with the signature.")
@_checks
def verify(model: str, bundle: Path | None, sha256: str | None, **signer: str | None) -> None:
    """Check MODEL, a file or an installed model's id, offline: its Sigstore signature, its sha256, or both.

    Exit status: 0 verified, 2 not.

    \b
    Example:
      saliency-batch models verify u2netp_mirror_v1.onnx \\
        --bundle u2netp_mirror_v1.onnx.bundle
    """
    from saliency_engine.models import install  # noqa: PLC0415  brings http and ssl

    _report(install.verify(model, bundle, sha256 or "", _expected(**signer)))


@models.command(short_help="Put a verified model into your model folder.")
@click.argument("model", type=_FILE)
@click.option("--license", "licence", type=_FILE, required=True, help="Text of the model's licence.")
@click.option("--bundle", type=_FILE, help="Sigstore bundle with the signature.")
@click.option("--manifest", type=_FILE, help="The model's export manifest.")
@click.option("--model-id", default="", help="Id to install it under.  [default: the file's own, else its stem]")
@_checks
def install(model: Path, sha256: str | None, identity: str | None, issuer: str | None, **options: Any) -> None:
    """Verify the file MODEL by --bundle or --sha256 and install it under its id, with licence and manifest.

    \b
    Example:
      saliency-batch models install u2netp_mirror_v1.onnx \\
        --bundle u2netp_mirror_v1.onnx.bundle --license Apache-2.0-u2netp.txt
    """
    from saliency_engine.models import install  # noqa: PLC0415  brings http and ssl

    entry, checked = install.install(model, sha256=sha256 or "", expected=_expected(identity, issuer), **options)
    _report(checked, entry)


@models.command(short_help="Bring a released model, verify it, install it.")
@click.argument("model_id", metavar="ID")
@click.option("--from", "base", default="", help="URL or folder of the release.  [default: the registry's]")
@_checks
def fetch(model_id: str, base: str, sha256: str | None, **signer: str | None) -> None:
    """Bring the model, its signature and its licence from a release, verify them, and install the model.

    A download that broke off goes on when the same command is given again.

    \b
    Example:
      saliency-batch models fetch u2netp_mirror_v1
    """
    from saliency_engine.models import install  # noqa: PLC0415  brings http and ssl

    entry, checked = install.fetch(model_id, base, sha256=sha256 or "", expected=_expected(**signer))
    _report(checked, entry)


def _expected(identity: str | None, issuer: str | None) -> Expected:
    return Expected(DEFAULT_IDENTITY if identity is None else identity, DEFAULT_ISSUER if issuer is None else issuer)


def _verified_by(entry: Entry) -> str:
    evidence = entry.verified_by if entry.state != "not installed" else None
    return evidence.how if evidence else "-"


def _report(checked: Checked, entry: Entry | None = None) -> None:
    click.echo(f"Verified OK by {checked.evidence.how}")
    click.echo(f"  sha256      {checked.sha256}")
    if checked.signer is not None:
        click.echo(f"  identity    {printable(checked.signer.identity)}")
        click.echo(f"  issuer      {printable(checked.signer.issuer)}")
        click.echo(f"  trust root  {printable(checked.signer.root)}")
        if checked.signer.warning:
            click.echo(f"warning: {printable(checked.signer.warning)}", err=True)
    if entry is not None:
        click.echo(f"Installed {entry.id} in {printable(entry.folder)}")
        click.echo(f"Use it: saliency-batch run --model {entry.id} …")
