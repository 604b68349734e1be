"""Verbs on a bundle: run, info, verify, remove, merge, evaluate, analyze; and on a run: blend."""

from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from stencilnet.bundle.format import GRAPH
from stencilnet.cli.bundles import BundleFolder, backend_option
from stencilnet.cli.helping import configs
from stencilnet.cli.streams import say, say_json
from stencilnet.cli.video import parse_fps, run_video, the_video
from stencilnet.text.escaping import one_line

if TYPE_CHECKING:
    from fractions import Fraction

    from stencilnet.bundle import Verification
    from stencilnet.runtime.answering import Profile, Scale
    from stencilnet.runtime.tiling import Tile

_bundle = click.argument("bundle", type=BundleFolder())
_changed_bundle = click.argument("bundle", type=BundleFolder(changed=True))
_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="Where the config's data folders are.  [default: .]",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")


def _scale(_context: click.Context, _option: click.Parameter, text: str) -> "Scale":
    if text in ("trained", "native"):
        return cast("Scale", text)
    try:
        factor = float(text)
    except ValueError:
        factor = 0
    if not 0 < factor < inf:
        raise click.BadParameter(f"expected trained, native or a factor above 0, but got {text!r}.")
    return factor


def _tile(_context: click.Context, _option: click.Parameter, word: str) -> "Tile":
    if word in ("auto", "never"):
        return cast("Tile", word)
    if word.isdecimal():
        return int(word)  # the engine checks the range
    raise click.BadParameter(f"expected auto, never or a number of rows, but got {word!r}")


@click.command()
@_bundle
@click.argument("task")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="File (for one input) or folder.")
@click.option(
    "--input",
    "kind",
    type=click.Choice(["photo", "edges"]),
    default="photo",
    help="edges: INPUTS are edge drawings.",
)
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu, cuda, cuda:1, ... or mps.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "auto"]),
    default="float32",
    show_default=True,
    help="auto: the fastest precision with nearly the same results; compiles first, which pays off for many images.",
)
@click.option(
    "--scale",
    default="trained",
    show_default=True,
    metavar="trained|native|FACTOR",
    callback=_scale,
    help="Size at which the network sees pictures: the one TASK was learned at, their own, or a factor of that. "
    "Outputs have the pictures' size.",
)
@click.option(
    "--keep-metadata", is_flag=True, help="Keep description, camera, date, exposure, author and copyright (no GPS)."
)
@click.option(
    "--tile",
    callback=_tile,
    metavar="auto|ROWS|never",
    default="auto",
    show_default=True,
    help="auto: a picture that does not fit in memory runs strip by strip, with the same result. A number: always, in "
    "strips of as many rows of pixels, at least 16. never: always as a whole.",
)
@backend_option
@click.option(
    "--bits",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits per channel of outputs; 16 for RGB as PNG or TIFF, and for gray maps (depth) also as JPEG 2000 or PGM.",
)
@click.option(
    "--profile",
    type=click.Choice(["srgb", "original"]),
    default="srgb",
    show_default=True,
    help="Colour profile of outputs; original: that of the input, if it has one of RGB.",
)
@click.option(
    "--fps",
    callback=parse_fps,
    metavar="NUMBER",
    help="For a video: frames per second of the output.  [default: every frame at its own time]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Skip inputs whose output exists, is not older, and was made by the same task and options.",
)
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="After a file that cannot be processed: go on with the others, or stop.",
)
@click.option("--watch", is_flag=True, help="Process pictures as they arrive in the folder INPUTS, until Ctrl-C.")
def run(
    bundle: Path,
    task: str,
    inputs: tuple[str, ...],
    out: Path,
    kind: str,
    device: str,
    precision: str,
    scale: "Scale",
    keep_metadata: bool,
    tile: "Tile",
    backend: str,
    bits: str,
    profile: "Profile",
    fps: "Fraction | None",
    resume: bool,
    on_error: str,
    watch: bool,
) -> None:
    """Run TASK of BUNDLE (`stencil info` names its tasks) on INPUTS: images, folders or patterns, or one video."""
    from functools import partial

    from stencilnet.cli.batch import Batch, counted_since, origin_of, planned_outputs, watch_folder
    from stencilnet.cli.console import console, use_all_cores
    from stencilnet.runtime import Engine
    from stencilnet.runtime.answering import Form
    from stencilnet.runtime.files import run_files
    from stencilnet.runtime.planning import names_file

    screen = console()
    if watch and not (len(inputs) == 1 and Path(inputs[0]).is_dir()):
        raise click.UsageError("--watch takes one folder as INPUTS.")
    for_pictures = {
        "--keep-metadata": keep_metadata,
        "--bits 16": bits != "8",
        "--profile original": profile != "srgb",
        "--resume": resume,
        "--watch": watch,
    }
    video = the_video(inputs, out, fps, [option for option, used in for_pictures.items() if used])
    planned = {} if video else planned_outputs(inputs, out, watch=watch)
    engine = Engine(bundle, device=device, precision=precision, tile=tile, backend=backend)
    if engine.backend == "torch":
        use_all_cores()
    made, form = engine.picture_task(task), Form(bits=int(bits), profile=profile)
    form.check(made)
    if video:
        engine.sizing(task, scale)  # raises before the video is opened
        run_video(video, out, partial(engine.run, task=task, drawing=kind == "edges", scale=scale), fps, screen)
        return
    process = partial(run_files, engine, task, drawing=kind == "edges", scale=scale, metadata=keep_metadata, form=form)
    options = {"input": kind, "scale": scale, "metadata": keep_metadata, "bits": bits, "profile": profile}
    since = 0 if names_file(out) else counted_since(out, origin_of(bundle, task, options), resume=resume)
    batch = Batch(process=process, screen=screen, resume=resume, stops=on_error == "stop", since=since)
    if watch:
        watch_folder(batch, inputs[0], out)
    else:
        batch.run(planned)
    batch.summarise()
    if batch.failed:
        raise click.exceptions.Exit(1)


@click.command()
@_bundle
@_json
def info(bundle: Path, as_json: bool) -> None:
    """Show what BUNDLE holds: its tasks, their kinds, methods and sizes."""
    from stencilnet.bundle.summary import summary, summary_text

    say_json(summary(bundle)) if as_json else say(summary_text(bundle))


@click.command()
@_bundle
@click.option("--runtime", is_flag=True, help="Also run every task by ONNX Runtime and PyTorch, and compare them.")
@_json
def verify(bundle: Path, runtime: bool, as_json: bool) -> None:
    """Read every file of BUNDLE and check it against the recorded hashes."""
    from stencilnet.runtime.verifying import verify as check

    report = check(bundle)
    ok = report.ok
    if not as_json:
        for found in report.findings:
            say(one_line(str(found)))
        say(f"{bundle}: {_verdict(report)}")
    compared = []
    if runtime and ok:  # damaged files cannot be run
        from stencilnet.runtime.parity import compare

        for parity in compare(bundle):
            compared.append({**asdict(parity), "ok": parity.ok})
            ok = ok and parity.ok
            if not as_json:
                say(parity)
    if as_json:
        say_json({"ok": ok, **asdict(report), **({"runtime": compared} if runtime else {})})
    if not ok:
        raise click.exceptions.Exit(1)


def _verdict(report: "Verification") -> str:
    if not report.ok:
        return "damaged; restore the files named above"
    hashed = [file for file in report.checked if Path(file).name != GRAPH]
    graph = f", and {GRAPH} is the graph of this backbone" if len(hashed) < len(report.checked) else ""
    return f"{len(hashed)} files match their recorded hashes{graph}"


@click.command()
@_changed_bundle
@click.argument("task")
def remove(bundle: Path, task: str) -> None:
    """Remove TASK from BUNDLE; the other tasks stay bit-equal."""
    from stencilnet.bundle import remove_task

    remove_task(bundle, task)
    say(f"{task} removed from {bundle}")


@click.command()
@_changed_bundle
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
def merge(bundle: Path, sources: tuple[str, ...]) -> None:
    """Copy the tasks of other bundles over the same backbone into BUNDLE, byte for byte.

    A SOURCE is a bundle, one task's folder (tasks/NAME of a bundle, or a copy), named like the task, one task's archive
    (`stencil pack`), or a repository of a hub, hf:OWNER/NAME. Of a repository, /TASK takes one task alone, and
    @REVISION another state than the latest. A task over another backbone is refused before its weights are downloaded.
    """
    from stencilnet.cli.console import quiet_hub
    from stencilnet.sharing import merge as join

    quiet_hub()
    merged = join(bundle, sources)
    for name in merged.added:
        say(f"added   {name}")
    for name in merged.present:
        say(f"present {name}")


@click.command(epilog=configs())
@_bundle
@click.argument("config")
@_root
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting: trainer.device=cpu.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "auto"]),
    default="float32",
    show_default=True,
    help="Number format of the network; auto: the fastest with nearly the same results.",
)
@_json
def evaluate(bundle: Path, config: str, root: Path, overrides: tuple[str, ...], precision: str, as_json: bool) -> None:
    """Measure every task of BUNDLE on CONFIG's test data, with trivial baselines."""
    from stencilnet.cli.console import console, teller, use_all_cores
    from stencilnet.config.reading import read_config
    from stencilnet.experiment.evaluating import as_text, evaluate_bundle
    from stencilnet.experiment.session import Session
    from stencilnet.learning.checking import check_paths

    screen = console()
    use_all_cores()
    experiment = read_config(config, overrides)
    check_paths(config, experiment, root, backbone=False)
    session = Session(out=bundle, root=root, announce=teller(screen))
    measured = evaluate_bundle(bundle, experiment, session, precision)
    say_json(measured) if as_json else say(as_text(measured))


@click.command()
@_bundle
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@click.option(
    "--ceiling",
    "ceilings",
    multiple=True,
    metavar="TASK,TASK",
    help="Two tasks of BUNDLE that are one task learned twice; their kappa is the upper reference. Repeatable.",
)
def analyze(bundle: Path, out: Path, ceilings: tuple[str, ...]) -> None:
    """Analyse BUNDLE's masks and codes: zero ratio, agreement and kappa between tasks, overall and by layer."""
    from stencilnet.experiment.analyzing import analyze_bundle

    for path in analyze_bundle(bundle, out, [_pair(words) for words in ceilings]):
        say(path)


def _pair(words: str) -> tuple[str, str]:
    match [word.strip() for word in words.split(",")]:
        case [first, second]:
            return first, second
    raise click.BadParameter(f"expected two tasks, TASK,TASK, but got {words!r}.", param_hint="--ceiling")


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("first")
@click.argument("second")
@click.argument("photos", nargs=-1, metavar="[PHOTO]...", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@_root
@click.option(
    "--steps", type=click.IntRange(min=2), default=7, show_default=True, help="Number of steps, ends included."
)
def blend(folder: Path, first: str, second: str, photos: tuple[Path, ...], out: Path, root: Path, steps: int) -> None:
    """Interpolate from task FIRST to task SECOND of a RUN folder, by the real masks behind their binary masks.

    Writes strip.png with the output of each step for the PHOTOs (by default test examples), and blend.svg and
    blend.json with both tasks' losses on their test examples. --root is the data root of the training.
    """
    from stencilnet.cli.console import console, teller, use_all_cores
    from stencilnet.experiment.blending import Slider, open_run, write_blend
    from stencilnet.experiment.session import Session

    screen = console()
    use_all_cores()
    run = open_run(folder, Session(out=folder, root=root, announce=teller(screen)))
    for path in write_blend(Slider.between(run, first, second), out, photos, steps):
        say(path)
