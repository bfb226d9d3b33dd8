"""The engine on the command line.

    python -m searchjobs.engine run   SPEC.yaml --out DIR [--resume]
    python -m searchjobs.engine proxy SPEC.yaml --out DIR [--resume]
    python -m searchjobs.engine check SPEC.yaml --out DIR
    python -m searchjobs.engine plan  SPEC.yaml [--json]
    python -m searchjobs.engine list  [--json] [--recipes]

``run``, like every kind of work (see ``kinds``), writes its events, a line of JSON
each, to DIR/events.jsonl and to standard output, and a log for people to standard
error.  It ends with 0, with 2 if the spec or the data set is at fault, with 3 if the
disk is full, with 1 on any other failure, and with 143 when it is told to stop
(SIGTERM): what the last checkpoint holds is kept, and ``--resume`` goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .faults import FAULT, NO_SPACE, OK, WRONG_INPUT
from .kinds import KINDS, Kind


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m searchjobs.engine",
        description="Neural architecture search from the command line.",
    )
    commands = parser.add_subparsers(required=True)
    for kind in KINDS.values():
        work = commands.add_parser(kind.command, help=kind.help)
        work.add_argument(
            "spec", type=Path, help="spec as YAML; - reads standard input"
        )
        work.add_argument(
            "--out", type=Path, required=True, help="folder for its files"
        )
        work.add_argument(
            "--resume",
            action="store_true",
            help="go on from the newest checkpoint in OUT",
        )
        work.add_argument("--seed", help="instead of the seed in the spec")
        work.set_defaults(command=_run, kind=kind)
    plan = commands.add_parser("plan", help="say what a search would do")
    plan.add_argument("spec", type=Path, help="spec as YAML; - reads standard input")
    plan.add_argument("--json", action="store_true", help="as one JSON object")
    plan.set_defaults(command=_plan)
    listing = commands.add_parser("list", help="list the parts of a search")
    listing.add_argument("--json", action="store_true", help="as one JSON object")
    listing.add_argument("--recipes", action="store_true", help="the presets only")
    listing.set_defaults(command=_list)
    return parser


def _run(options: argparse.Namespace) -> int:
    from . import launcher
    from .eventlog import EventLog
    from .events import Event, Failed, to_line
    from .faults import explain
    from .pace import timed
    from .problems import SpecError
    from .words import log_line

    signal.signal(signal.SIGTERM, _stop)
    if launcher.is_one_of_several():
        launcher.end_at_once_on_signals()
    leads = launcher.leads_here()
    out: Path = options.out
    log: EventLog | None = None

    def tell(event: Event) -> None:
        line = to_line(event)
        if log is not None:
            # A checkpoint follows: it may not know an epoch that the file has lost.
            log.write(line, durable=event.type == "epoch_finished")
        sys.stdout.write(line)
        sys.stdout.flush()
        if said := log_line(event):
            sys.stderr.write(f"{said}\n")
            sys.stderr.flush()

    def fail(sentence: str, kind: Any, code: int) -> int:
        nonlocal log
        if launcher.tell_fault(sentence, kind, code):
            return code
        if not leads:  # started by torchrun: the leader's files are not ours
            sys.stderr.write(f"{sentence}\n")
            return code
        # Whatever cannot be written any more, the exit code is told.
        with suppress(OSError):
            if log is None and out.is_dir():
                # a folder that is there has a reader: the supervisor's
                log = EventLog(out)
        with suppress(OSError):
            tell(Failed(sentence=sentence, kind=kind))
        with suppress(OSError):
            sys.stderr.write(f"{sentence}\n")
            sys.stderr.flush()
        return code

    try:
        text = _text(options.spec)
        work: Kind = options.kind
        devices = launcher.devices_asked(text) if work.command == "run" else 1
        if devices > 1 and not launcher.is_one_of_several():
            launcher.run_several(text, _again(options), devices)
            return OK
        spec = work.read(text, options.seed)
        if leads:
            _prepare(out, spec.to_yaml(), options.resume)
            log = EventLog(out)
        for event in timed(work.events(spec, out, options.resume)):
            if leads:
                tell(event)
        _leave_the_others()
    except SpecError as error:
        return fail(str(error), "spec", WRONG_INPUT)
    except launcher.SeveralFailedError as error:
        if error.kind:
            return fail(str(error), error.kind, error.code)
        sys.stderr.write(f"{error}\n")
        return error.code
    except launcher.PartnerLostError:
        return launcher.PARTNER_LOST
    except BrokenPipeError:
        # Whoever listened is gone; the events are in the file.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    except Exception as error:
        sentence, kind = explain(error)
        if kind == "bug":
            import traceback

            with suppress(OSError):
                traceback.print_exc()
        if kind != "disk":
            return fail(sentence, kind, FAULT)
        code = fail(sentence, kind, NO_SPACE)
        _forget_unwritten()
        return code
    finally:
        if log is not None:
            log.close()
    return OK


def _forget_unwritten() -> None:
    """Drop what the streams hold back: at exit it would fail to be written again, and
    turn the exit code into another."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _again(options: argparse.Namespace) -> list[str]:
    """Return the arguments of the same run for one of several processes."""
    arguments = ["--out", str(options.out)]
    if options.seed is not None:
        arguments += ["--seed", options.seed]
    return [*arguments, "--resume"] if options.resume else arguments


def _leave_the_others() -> None:
    from .parallel import leave

    leave()


def _stop(signal_number: int, _frame: object) -> None:
    sys.exit(128 + signal_number)


def _text(path: Path) -> str:
    from .problems import Problem, SpecError

    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise SpecError(
            [Problem("", f"The spec {path} cannot be read; check the path.")]
        ) from None


def _prepare(out: Path, spec: str, resume: bool) -> None:
    from .checkpoint import newest_first
    from .files import write_whole
    from .problems import Problem, SpecError

    if newest_first(out) and not resume:
        raise SpecError(
            [
                Problem(
                    "",
                    f"{out} already holds such work. Add --resume to go on with it, or "
                    "name an empty folder.",
                )
            ]
        )
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "spec.yaml", spec.encode())


def _plan(options: argparse.Namespace) -> int:
    from .plan import plan
    from .problems import SpecError
    from .validation import load_yaml

    try:
        found = plan(load_yaml(_text(options.spec)))
    except SpecError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_INPUT
    if options.json:
        print(found.model_dump_json(indent=2))
        return OK
    if found.table is not None:
        print(
            f"nothing is trained: {found.table.repeats:,} searches on the benchmark "
            f"table ({found.table.dataset}, {found.table.signal}), "
            f"{found.table.budget:,.0f} simulated seconds each"
        )
        return OK
    note = " at least, classes may keep more" if found.lower_bound else ""
    print(f"{'after epoch':>11}  {'T':>9}  {'V':>9}")
    previous = None
    for epoch in range(found.epochs + 1):
        row = tuple(found.remaining[name][epoch] for name in found.sizes)
        if row != previous or epoch == found.epochs:
            print(f"{epoch:>11}  {row[0]:>9,}  {row[1]:>9,}")
        previous = row
    print(
        f"{sum(found.weight_steps):,} weight steps, "
        f"{sum(found.architecture_steps):,} architecture steps\n"
        f"cost {found.cost_units:,.0f} forward-equivalent samples, "
        f"{found.cost_share:.1%} of the search without pruning{note}"
    )
    if found.derivation_units:
        bound = "at most " if found.derivation_at_most else ""
        print(f"of them {bound}{found.derivation_units:,.0f} by the derivation")
    return OK


def _list(options: argparse.Namespace) -> int:
    from . import contracts
    from .data.source import sources
    from .recipes import all_recipes

    recipes = [recipe.model_dump() for recipe in all_recipes()]
    parts = {
        "spaces": contracts.spaces.describe(),
        "methods": contracts.methods.describe(),
        "selections": contracts.selections.describe(),
        "stopping": contracts.stopping_rules.describe(),
        "derivations": contracts.derivations.describe(),
        "datasets": sources.describe(),
        "recipes": [
            {
                "name": recipe["name"],
                "label": recipe["title"],
                "family": recipe["group"],
                "summary": recipe["summary"],
                "source": recipe["source"],
                "options": recipe["spec"],
                "seeds": recipe["seeds"],
                "reference": recipe["reference"],
            }
            for recipe in recipes
        ],
    }
    if options.recipes:
        parts = {"recipes": parts["recipes"]}
    if options.json:
        print(json.dumps(parts, indent=2, ensure_ascii=False))
        return OK
    for kind, members in parts.items():
        print(kind)
        width = max(18, *(len(member["name"]) for member in members))
        for member in members:
            print(f"  {member['name']:<{width}} {member['summary']}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
