"""``llava-corr baseline cascade``: a chat model, a language model and a segmenter, one after another.

    llava-corr baseline cascade --samples test.jsonl --out p.jsonl --replies replies \\
        --chat openai:MODEL --chat-url http://localhost:8000/v1 --llm openai:gpt-4o --segmenter model:runs/align/model
    llava-corr baseline cascade ... --replay            the same from the recorded replies, without any network

A file that was cut off is continued by the same call, and no reply that was recorded is asked for again.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from .. import __version__
from ..benchmarks.cascade import Asked, Cascade
from ..benchmarks.cascade_prompts import prompts_hash
from ..benchmarks.segmenters import RecordedMasks, Segmenter
from ..benchmarks.simulated_chat import SimulatedChat, TruthMasks
from ..clients import CLIENTS
from ..clients.http import LimitField
from ..clients.opening import open_client, split_word
from ..clients.recording import RecordedClient
from ..clients.requests import Client
from ..errors import ConfigError, PredictionError
from ..files import file_hash, find_shipped, refuse_overwriting, write_lines
from ..record_files import iter_predictions, read_samples, refuse_replacing
from ..records import Prediction, Record, Sample
from ..registry import did_you_mean
from .prediction_file import FileSettings, folder_hash, made_path, partial_path, read_made, write_predictions

logger = logging.getLogger(__name__)

STEPS = ("chat", "llm")
PHRASE_TOKENS = 64  # of the answer to "Please segment the leg of the chair."
SIMULATED = "simulated"
SEGMENTERS = ("model", "recorded", SIMULATED)


class CascadeSettings(FileSettings):
    """What the rows of a Cascade's prediction file depend on.

    Attributes:
        chat, llm: the words of the command line that name them.
        prompts: SHA-256 of all that is said to the two.
        segmenter: its word; ``drawn_by``: SHA-256 of its model folder or of its file of masks.
    """

    chat: str
    llm: str
    prompts: str
    max_tokens: int
    temperature: float
    seed: int
    segmenter: str
    drawn_by: str
    missing_masks: str


class WantedMask(Record):
    """A row of ``--list-phrases``."""

    image: str
    phrase: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``baseline cascade``."""
    parser.add_argument("baseline", choices=["cascade"], help="this baseline")
    parser.add_argument("--samples", type=Path, required=True, help="samples file to answer")
    parser.add_argument("--out", type=Path, required=True, help="prediction file to write")
    parser.add_argument("--limit", type=int, help="answer only the first samples")
    parser.add_argument("--restart", action="store_true", help="answer anew; recorded replies and masks stay")
    models = parser.add_argument_group("steps 1 and 2: openai:MODEL, transformers:FOLDER, echo, or simulated")
    models.add_argument("--chat", required=True, metavar="MODEL", help="step 1, shown all pictures of a sample")
    models.add_argument("--llm", required=True, metavar="MODEL", help="step 2, told what step 1 says")
    for name in ("chat", "llm"):
        models.add_argument(f"--{name}-url", metavar="URL", help="base URL of its server (default: OpenAI's own)")
        models.add_argument(
            f"--{name}-key", metavar="VARIABLE", help="environment variable of its API key (OpenAI's: OPENAI_API_KEY)"
        )
    models.add_argument("--max-tokens", type=int, default=512, help="of a reply (default 512)")
    models.add_argument("--temperature", type=float, default=0.0, help="default 0: the likeliest words")
    models.add_argument("--seed", type=int, default=0, help="of sampling, and of the simulated model's errors")
    models.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for a server (default 120)")
    models.add_argument("--workers", type=int, default=4, help="samples asked about at a time (default 4)")
    models.add_argument(
        "--limit-field", choices=get_args(LimitField), default="max_tokens", help="what the servers call it"
    )
    models.add_argument("--replies", type=Path, metavar="FOLDER", help="records every reply, and asks nothing twice")
    models.add_argument("--replay", action="store_true", help="take all replies from --replies, ask nobody")
    draw = parser.add_argument_group("step 3")
    draw.add_argument(
        "--segmenter", metavar="WORD", help="model:FOLDER (one of ours), recorded:FILE (masks of any other), simulated"
    )
    draw.add_argument("--record-masks", type=Path, metavar="FILE", help="records every mask, and draws nothing twice")
    draw.add_argument(
        "--missing-masks", choices=["refuse", "empty"], default="refuse",
        help="what to do about a phrase that recorded:FILE lacks (default: refuse)",
    )  # fmt: skip
    draw.add_argument(
        "--list-phrases", action="store_true", help="write what is to be segmented to --out, segment nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the prediction file; returns the exit status 0.

    Raises:
        LlavaCorrError: options that do not go together, files that cannot be read or written, models that do not reply.
    """
    _check(args)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # one line for the whole work, not one a request
    samples = read_samples(args.samples)[: args.limit]
    settings = None if args.list_phrases else _settings(args, len(samples))
    if settings is not None and not args.restart:
        made = read_made(args.out, CascadeSettings)
        if made is not None and made.settings == settings:
            logger.info("%s was finished earlier", args.out)
            return 0
    clients = _clients(args, samples)
    chat, llm = (_asked(args, name, client) for name, client in zip(STEPS, clients, strict=True))
    segmenter: Segmenter | None = None
    try:
        if settings is None:
            return _list_phrases(args, Cascade(chat, llm, TruthMasks([]), args.workers), samples)
        segmenter = _segmenter(args, samples, settings.drawn_by)
        cascade = Cascade(chat, llm, segmenter, args.workers)

        def answer(rest: Sequence[Sample]) -> Iterator[Prediction]:
            return iter(tqdm(cascade.answer(rest), total=len(rest), desc="cascade", dynamic_ncols=True))

        count = write_predictions(args.out, samples, settings, answer, restart=args.restart)
    finally:
        if isinstance(segmenter, RecordedMasks):
            segmenter.close()
        for client in clients:
            if isinstance(client, RecordedClient):
                client.close()
                logger.info("%s: %d replies asked for, %d replayed", client.path, client.asked, client.replayed)
    logger.info("%d predictions in %s, %d of them by this call", len(samples), args.out, count)
    _report(args.out)
    return 0


def _check(args: argparse.Namespace) -> None:
    for name, value in (("--limit", args.limit), ("--max-tokens", args.max_tokens), ("--workers", args.workers)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} {value}", mend="it is counted from 1")
    if args.temperature < 0 or args.timeout <= 0 or args.seed < 0:
        raise ConfigError(
            f"--temperature {args.temperature} --timeout {args.timeout} --seed {args.seed}", mend="none is negative"
        )
    if args.replay and args.replies is None:
        raise ConfigError("--replay needs --replies FOLDER", mend="name the folder that the replies were recorded to")
    if bool(args.segmenter) == args.list_phrases:
        raise ConfigError("give either --segmenter or --list-phrases")
    kind, name = split_word(args.segmenter or "simulated")
    if kind not in SEGMENTERS:
        raise ConfigError(f"unknown segmenter {args.segmenter!r}", mend=did_you_mean(kind, SEGMENTERS))
    if kind != "simulated" and not name:
        raise ConfigError(f"--segmenter {kind} names no {'model' if kind == 'model' else 'file'}", mend=f"{kind}:PATH")
    masks = Path(name) if kind == "recorded" else None
    written = [("--out", args.out), ("--out", partial_path(args.out)), ("--out", made_path(args.out))]
    replies = [("--replies", args.replies / f"{name}.jsonl") for name in STEPS if args.replies]
    kept = [*replies, ("--record-masks", args.record_masks)]
    refuse_overwriting([*written, *kept], [("--samples", args.samples), ("--segmenter", masks)])
    refuse_overwriting(written, kept)
    refuse_overwriting(replies, kept[-1:])
    refuse_replacing(args.out, WantedMask if args.list_phrases else Prediction)


def _settings(args: argparse.Namespace, count: int) -> CascadeSettings:
    kind, name = split_word(args.segmenter)
    drawn_by = ""
    if kind == "model":
        drawn_by = folder_hash(Path(find_shipped(name)))
    elif kind == "recorded":
        drawn_by = file_hash(name, PredictionError)
    return CascadeSettings(
        samples=file_hash(args.samples, PredictionError),
        samples_path=str(args.samples.resolve()),
        count=count,
        batch_size=1,  # an answer does not depend on its company
        version=__version__,
        chat=args.chat,
        llm=args.llm,
        prompts=prompts_hash(),
        max_tokens=args.max_tokens,
        temperature=args.temperature,
        seed=args.seed,
        segmenter=args.segmenter,
        drawn_by=drawn_by,
        missing_masks=args.missing_masks,
    )


def _clients(args: argparse.Namespace, samples: list[Sample]) -> list[Client]:
    """The clients of steps 1 and 2; with ``--replies`` each records to, or replays from, its own file."""
    made: list[Client] = []
    for name in STEPS:
        path = args.replies / f"{name}.jsonl" if args.replies else None
        if args.replay and path is not None:
            made.append(RecordedClient(path))
            continue
        if made and all(getattr(args, f"chat{end}") == getattr(args, f"llm{end}") for end in ("", "_url", "_key")):
            asked = made[0].client if isinstance(made[0], RecordedClient) and made[0].client else made[0]
        else:
            asked = _client(args, name, samples)
        made.append(asked if path is None else RecordedClient(path, asked))
    return made


def _client(args: argparse.Namespace, name: str, samples: list[Sample]) -> Client:
    word = getattr(args, name)
    kind, shares = split_word(word)
    if kind not in (SIMULATED, *CLIENTS.names()):
        raise ConfigError(f"--{name} {word}: unknown client", mend=did_you_mean(kind, (SIMULATED, *CLIENTS.names())))
    if kind != SIMULATED:
        return open_client(
            word,
            base_url=getattr(args, f"{name}_url"),
            key_variable=getattr(args, f"{name}_key"),
            timeout=args.timeout,
            limit_field=args.limit_field,
        )
    try:
        omit, misname = (float(share) for share in (shares or "0,0").split(","))
    except ValueError as cause:
        mend = "write simulated, or simulated:OMIT,MISNAME as in simulated:0.2,0.1"
        raise ConfigError(f"--{name} {word}", mend=mend) from cause
    logger.warning("--%s %s is no model: it knows the true answers", name, word)
    return SimulatedChat(samples, omit=omit, misname=misname)


def _asked(args: argparse.Namespace, name: str, client: Client) -> Asked:
    """The model's name is what the server knows it by; of the others, the word of the command line."""
    word = getattr(args, name)
    kind, model = split_word(word)
    known = model if kind == "openai" else word
    return Asked(client, known, max_tokens=args.max_tokens, temperature=args.temperature, seed=args.seed)


def _segmenter(args: argparse.Namespace, samples: list[Sample], weights: str) -> Segmenter:
    kind, name = split_word(args.segmenter)
    drawing: Segmenter
    if kind == "recorded":
        drawing = RecordedMasks(name, missing=args.missing_masks)
    elif kind == "simulated":
        logger.warning("--segmenter simulated is no model: it draws the true masks")
        drawing = TruthMasks(samples)
    else:
        from .phrase_segmenter import PhraseSegmenter
        from .predictor import Predictor

        drawing = PhraseSegmenter(Predictor.from_pretrained(Path(name), max_new_tokens=PHRASE_TOKENS))
    if args.record_masks is None:
        return drawing
    return RecordedMasks(args.record_masks, drawing, drawn_by=f"{args.segmenter} {weights[:16]}".strip())


def _list_phrases(args: argparse.Namespace, cascade: Cascade, samples: list[Sample]) -> int:
    """Writes each (picture, phrase) once, in the order of the samples."""
    pairs = dict.fromkeys((w.image.path, w.phrase) for _, draft in cascade.drafts(samples) for w in draft.wanted)
    rows = (WantedMask(image=str(Path(image).resolve()), phrase=phrase) for image, phrase in pairs)
    count = write_lines(args.out, (row.model_dump_json() for row in rows))
    logger.info("%d phrases to segment in %s", count, args.out)
    return 0


def _report(path: Path) -> None:
    """What had to be repaired or was not found, counted."""
    rules = Counter(line.split(" ", 1)[0] for answer in iter_predictions(path) for line in answer.trail)
    logger.info("repairs: %s", ", ".join(f"{n} {rule}" for rule, n in rules.most_common()) or "none")
