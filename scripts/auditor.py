"""The auditor's commands: replay the chain and reconcile everything; compare its code with the sources."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.terminal import options
from scripts.terminal.failures import Group, fail
from scripts.terminal.options import together
from scripts.terminal.session import Session
from scripts.terminal.tables import print_json, print_table

if TYPE_CHECKING:
    from scripts.audit.report import Report
    from scripts.audit.sources import Source


@click.group(cls=Group)
def cli() -> None:
    """Replay the chain and reconcile every unit of money and every proof."""


@cli.command()
@click.option(
    "--artifacts",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="An oracle's artifact folder, or a copy of it.",
)
@click.option(
    "--oracle-url",
    envvar="GPGPU_ORACLE_URL",
    show_envvar=True,
    help="Where to fetch evidence, and reputations to compare; artifacts too where --keystore is a party's.",
)
@click.option(
    "--reader-key",
    "reader_files",
    type=options.FILE,
    multiple=True,
    help="Key file of a reader of sealed jobs, as `gpgpu audit reader` makes it; repeatable.",
)
@click.option("--from-block", type=click.IntRange(0), help="Default: where the deployment begins.")
@click.option(
    "--to-block", type=click.IntRange(0), help="Audit the state after this block. Default: the head."
)
@together(*options.connection, options.keystore, options.password_file, options.as_json)
def replay(
    artifacts: Path | None,
    reader_files: tuple[Path, ...],
    from_block: int | None,
    to_block: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Rebuild everything from the logs and compare it with the chain, the evidence and the artifacts.

    Sealed artifacts are read with --reader-key, and as a renter with --keystore; what cannot be read is
    listed.

    Exit code 1 where anything differs.
    """
    from protocol.chain import connect
    from scripts.audit.replay import Scope
    from scripts.audit.replay import replay as audit
    from scripts.client.reader_files import read_reader_key

    with ExitStack() as stack:
        session = stack.enter_context(Session(given))
        source, with_artifacts = _source(stack, session, artifacts, given)
        keys = tuple(read_reader_key(path) for path in reader_files)
        if given["keystore"] is not None:
            keys = (*keys, *session.opener.keys)
        said = None if given["oracle_url"] is None else session.oracle.reputations
        scope = Scope(from_block, to_block, source, with_artifacts, keys, said)
        # Not the checked connection of the other commands: code that differs is a finding here.
        web3 = connect(given["rpc_url"], session.manifest.chain_id)
        report = audit(web3, session.manifest, scope, lambda section: click.echo(section, err=True))
    if as_json:
        print_json(report.to_json())
    else:
        show_report(report)
    if not report.is_clean:
        fail(f"{len(report.differences)} differences")


@cli.command()
@click.option("--role", type=click.Choice(("verifier", "committee")), required=True)
@click.option("--key-file", type=options.FILE, required=True, help="Made where it is not there.")
@together(options.manifest, options.keystore, options.password_file)
def reader(role: str, key_file: Path, **given: Any) -> None:
    """Publish a key that renters may seal jobs to, for you to check them: give the oracle what this prints.

    Arbiters sign with the key of their seat on the quorum.
    """
    from protocol.readers import ReaderRole, sign_reader_key
    from protocol.sealing import public_bytes
    from protocol.typed_data import Domain
    from scripts.client.reader_files import open_reader_key

    with Session(given) as session:
        domain = Domain(session.manifest.chain_id, session.manifest.market)
        key = public_bytes(open_reader_key(key_file))
        print_json(sign_reader_key(domain, ReaderRole(role), key, session.account).to_json())


@cli.command()
@click.option(
    "--project",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path("."),
    help="The repository, set up. Default: this folder.",
)
@together(options.manifest, options.rpc_url, options.as_json)
def sources(project: Path, as_json: bool, **given: Any) -> None:
    """Compile the sources and compare every byte of the code on chain, immutables as the manifest says.

    Exit code 1 where anything differs.
    """
    from protocol.chain import connect, disconnect, read_block
    from scripts.audit.rebuilding import check_sources, compile_sources
    from scripts.audit.report import Section, text_of

    with Session(given) as session:
        manifest = session.manifest
        web3 = connect(given["rpc_url"], manifest.chain_id)
        try:
            click.echo("compiling", err=True)
            compiled = compile_sources(project.resolve())
            section = Section("sources")
            check_sources(web3, manifest, read_block(web3, "latest").number, compiled, section)
        finally:
            disconnect(web3)
    found = [
        {
            "code": item.code,
            "subject": item.subject,
            "expected": text_of(item.expected),
            "actual": text_of(item.actual),
        }
        for item in section.differences
    ]
    if as_json:
        print_json({"compared": section.compared, "differences": found})
    else:
        for item in found:
            click.echo(f"{item['code']}: {item['subject']}: expected {item['expected']}, is {item['actual']}")
        click.echo(f"{section.compared} comparisons of code with sources, {len(found)} differences")
    if found:
        fail(f"{len(found)} differences")


def _source(
    stack: ExitStack, session: Session, artifacts: Path | None, given: dict[str, Any]
) -> "tuple[Source | None, bool]":
    from scripts.audit.sources import FolderSource, OracleSource

    if artifacts is not None:
        return FolderSource(artifacts), True
    if given["oracle_url"] is None:
        return None, False
    return stack.enter_context(OracleSource(session.oracle)), given["keystore"] is not None


def show_report(report: "Report") -> None:
    """Sections, differences, verdict."""
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items())
    rows = [(item.name, item.compared, len(item.differences) or "none") for item in report.sections]
    click.echo(f"Audit of chain {report.chain_id} at block {report.block.number}: {counts}")
    print_table("", ("Section", "#Compared", "#Differences"), rows)
    if report.differences:
        print_table(
            "Differences",
            ("Code", "Subject", "Expected", "Actual"),
            [(item.code, item.subject, item.expected, item.actual) for item in report.differences],
        )
    for item in report.not_checked:
        click.echo(f"not checked: {item.what}: {item.reason}")
    verdict = "CLEAN: 0 differences" if report.is_clean else f"{len(report.differences)} DIFFERENCES"
    click.echo(f"Verdict: {verdict} in {sum(item.compared for item in report.sections)} comparisons")
