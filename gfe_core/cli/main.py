"""The command line.

`python -m gfe_core doctor | train | evaluate | reproduce | claims | decoders`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gfe_core.cli import doctor
from gfe_core.training.fitting import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `python -m gfe_core`; None takes them from the command line.

    Returns:
        The exit status: 0 when all is well, 1 for something to fix, 130 after an interrupt.
    """
    chosen = _parser().parse_args(arguments)
    if chosen.command is None:
        _parser().print_help()
        return 0
    commands = (_doctor, _train, _evaluate, _reproduce, _claims, _decoders)
    try:
        return {command.__name__[1:]: command for command in commands}[chosen.command](chosen)
    except (ValueError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        goes_on = "Interrupted; what was finished is kept. The same command goes on from there."
        print(str(interrupt) or goes_on, file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    from gfe_core.experiments import NAMES
    from gfe_core.experiments.runner.config import add_options

    parser = argparse.ArgumentParser(
        prog="python -m gfe_core", description="Gradient Flow Encoding, to learn from."
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser(
        "doctor", help="check that this machine is ready, with a remedy for what is not"
    )
    train = commands.add_parser(
        "train", help="train a decoder; the same command goes on after an interrupt"
    )
    train.add_argument("--folder", type=Path, required=True, help="gets run.json and checkpoint.pt")
    train.add_argument(
        "--config",
        type=Path,
        help="a JSON file with fields of Config, such as the run.json of a run",
    )
    add_options(train)
    evaluate = commands.add_parser("evaluate", help="judge a trained decoder on the test images")
    evaluate.add_argument("--folder", type=Path, required=True, help="of a run")
    reproduce = commands.add_parser(
        "reproduce", help="make a table or figure of the paper, and what lies beside it"
    )
    reproduce.add_argument("experiment", choices=NAMES)
    reproduce.add_argument(
        "--processes", type=int, default=1, help="how many jobs at a time, one thread each"
    )
    reproduce.add_argument("--folder", type=Path, help="of finished jobs; data/runs by default")
    commands.add_parser(
        "claims",
        help="judge what the sources say by the results; writes CLAIMS.md and their tables",
    )
    decoders = commands.add_parser("decoders", help="train the MNIST decoders of data/checkpoints")
    decoders.add_argument(
        "--passes", type=int, choices=(1, 6), help="passes over the images; both by default"
    )
    decoders.add_argument(
        "--folder", type=Path, default=Path("data/checkpoints"), help="where the files go"
    )
    return parser


def _train(chosen: argparse.Namespace) -> int:
    from gfe_core.experiments.runner import runs
    from gfe_core.experiments.runner.config import from_options

    runs.train(from_options(chosen), chosen.folder, callbacks=[_tell])
    print(chosen.folder / "run.json")
    return 0


def _evaluate(chosen: argparse.Namespace) -> int:
    from gfe_core.experiments.runner import runs

    print(json.dumps(runs.evaluate(chosen.folder), indent=2))
    return 0


def _reproduce(chosen: argparse.Namespace) -> int:
    from gfe_core.experiments import experiment
    from gfe_core.experiments.runner import jobs

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    wanted = experiment(chosen.experiment)
    content = jobs.reproduce(wanted, folder=chosen.folder, processes=chosen.processes, tell=tell)
    print(wanted.table(content))
    return 0


def _claims(chosen: argparse.Namespace) -> int:
    from gfe_core.experiments.pages import pages
    from gfe_core.experiments.runner.files import write_text

    for path, text in pages().items():
        write_text(path, text)
        print(path)
    return 0


def _decoders(chosen: argparse.Namespace) -> int:
    from gfe_core.experiments import mnist_decoders

    for n in [chosen.passes] if chosen.passes else [1, 6]:
        print(mnist_decoders.train(n, chosen.folder, callback=_tell))
    return 0


def _tell(report: Report) -> None:
    if report.step % 50 == 0 or report.step == report.n_steps:
        line = (
            f"batch {report.step}/{report.n_steps}, energy {report.energy:.4f}, "
            f"{report.seconds:.0f} s"
        )
        print(line, file=sys.stderr)


def _doctor(chosen: argparse.Namespace) -> int:
    checks = doctor.report()
    for check in checks:
        print(check)
    broken = sum(not check.ok for check in checks)
    print(f"{broken} to fix." if broken else "Ready.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
