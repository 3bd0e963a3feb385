"""Embed expression profiles with a frozen scGPT: batches of like length, shards that survive a killed job."""

import hashlib
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from pathgptomic.files import atomic, remove, sha256_file
from pathgptomic.genomics.batches import embed_sequences
from pathgptomic.genomics.checkpoint import Checkpoint, read_checkpoint
from pathgptomic.genomics.profiles import Profiles
from pathgptomic.genomics.published import run_published
from pathgptomic.genomics.scgpt import ScGPT
from pathgptomic.genomics.tokens import Selection, Sequence, Tokeniser, share_of_ties
from pathgptomic.seeds import rng

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedSettings:
    """How profiles become embeddings (section `genomics` of the configuration)."""

    policy: str = "partition"
    max_length: int = 1200
    precision: str = "auto"  # auto | float32 | bfloat16 | float16
    batch_tokens: int = 0  # 0: by device
    shard: int = 256  # profiles between two savings
    minimum_known: float = 0.3
    quality_profiles: int = 20  # profiles embedded a second time, with another draw


def embed_profiles(
    *,
    expression: str,
    checkpoint: str,
    sha256: str,
    settings: dict[str, object],
    seed: int,
    device: str,
    backend: str,
    index: str,
    embeddings: str,
    quality: str,
) -> None:
    """Embed the profiles of a file and say how far the embeddings depend on the draw.

    Parameters
    ----------
    expression
        AnnData file of profiles x genes on a linear scale.
    checkpoint, sha256
        Checkpoint folder, and the SHA-256 that its weights have to have (empty: any).
    settings
        Fields of :class:`EmbedSettings`.
    seed
        Seed of the run.
    device
        auto, cpu or cuda.
    backend
        native, or reference for the published package.
    index
        Name of the table's index, such as ``patient_id``.
    embeddings
        Table to write: one row a profile, float32. Profiles that express no known gene are left out and named in the
        log and in `quality`.
    quality
        Table to write: profile, expressed (known genes), ties (share of genes whose bin is left to chance), sequences,
        draw_cosine (cosine of two draws, where taken), others_cosine (mean cosine to the other profiles).
    """
    chosen = EmbedSettings(**settings)
    torch_device = find_device(device)
    source = read_checkpoint(checkpoint, sha256=sha256)
    profiles = Profiles(expression, source.vocabulary, minimum_known=chosen.minimum_known)
    logger.info("%d profiles; %.1f %% of the genes are known", len(profiles.names), 100 * profiles.known_share)
    if backend == "reference":
        table, facts = run_published(profiles, checkpoint, seed=seed, device=torch_device.type)
    else:
        embedder = Embedder(source, profiles, chosen, seed, torch_device)
        key = _key(expression, source, chosen, seed, embedder.model.dtype)
        table, facts = embedder.run(Path(f"{embeddings}.shards") / key)
        facts["draw_cosine"] = embedder.draw_cosine(table)
    facts["others_cosine"] = _others_cosine(table).reindex(facts.index)
    silent = facts.index[facts["sequences"] == 0]
    if len(silent):
        logger.warning("%d profiles without a known gene get no embedding: %s", len(silent), ", ".join(silent[:10]))
    _log_quality(facts)
    with atomic(embeddings) as temporary:
        table.rename_axis(index).to_parquet(temporary)
    with atomic(quality) as temporary:
        facts.rename_axis("profile").to_csv(temporary, sep="\t", float_format="%.6g")
    remove(Path(f"{embeddings}.shards"))


class Embedder:
    """The network, the tokeniser and the batches over the profiles of one file.

    Profiles are taken in the order of their names, whatever their order in the file: batches, and with them the last
    bits of an embedding, then depend on the set of profiles only.
    """

    def __init__(
        self, checkpoint: Checkpoint, profiles: Profiles, settings: EmbedSettings, seed: int, device: torch.device
    ):
        self.model = ScGPT(checkpoint, find_dtype(settings.precision, device)).to(device)
        self.profiles, self.settings, self.device, self.seed = profiles, settings, device, seed
        self.padding = checkpoint.vocabulary["<pad>"]
        selection = Selection.parse(settings.policy)
        self.listed = np.array([gene in selection.genes for gene in profiles.genes])
        self.tokeniser = Tokeniser(
            checkpoint.vocabulary["<cls>"], selection, settings.max_length, seed, checkpoint.architecture.bins
        )

    def run(self, work: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Embed every profile; finished shards are kept in `work`, so that a killed job goes on after them."""
        order = np.argsort(self.profiles.names, kind="stable")
        shards = [order[start : start + self.settings.shard] for start in range(0, len(order), self.settings.shard)]
        work.mkdir(parents=True, exist_ok=True)
        paths = [work / f"{number:05d}.npz" for number in range(len(shards))]
        todo = [number for number, path in enumerate(paths) if not path.is_file()]
        if len(todo) < len(shards):
            logger.info("going on after %d of %d shards", len(shards) - len(todo), len(shards))
        total = sum(len(shards[number]) for number in todo)
        with tqdm(total=total, unit="profile", desc="scGPT", mininterval=5) as progress:
            for number, (sequences, facts) in zip(todo, self._ahead([shards[n] for n in todo]), strict=True):
                vectors = self.embed(sequences)
                with atomic(paths[number]) as temporary:
                    np.savez(temporary, vectors=vectors, facts=facts)
                progress.update(len(sequences))
        stored = [np.load(path) for path in paths]
        names = [self.profiles.names[row] for row in order]
        facts = pd.DataFrame(np.concatenate([part["facts"] for part in stored]), index=names)
        facts.columns = ["expressed", "ties", "sequences"]
        facts = facts.astype({"expressed": int, "sequences": int})
        vectors = np.concatenate([part["vectors"] for part in stored])
        columns = [f"scgpt_{column}" for column in range(vectors.shape[1])]
        table = pd.DataFrame(vectors, index=names, columns=columns)[facts["sequences"].to_numpy() > 0]
        return table, facts

    def _ahead(self, shards: list[np.ndarray]) -> Iterator[tuple[list[list[Sequence]], np.ndarray]]:
        """Yield the tokens of each shard, those of the next being made while the network works on this one."""
        if self.device.type == "cpu":
            yield from map(self.tokens, shards)
            return
        with ThreadPoolExecutor(1) as pool:
            coming = [pool.submit(self.tokens, shard) for shard in shards[:1]]
            for shard in [*shards[1:], None]:
                ready = coming.pop().result()
                if shard is not None:
                    coming.append(pool.submit(self.tokens, shard))
                yield ready

    def tokens(self, rows: np.ndarray, draw: int = 0) -> tuple[list[list[Sequence]], np.ndarray]:
        """Return the sequences of the profiles at `rows`, and for each: expressed genes, share of ties, sequences."""
        tokeniser = replace(self.tokeniser, draw=draw)
        ascending = np.argsort(rows)
        block = self.profiles.read(rows[ascending])[np.argsort(ascending)]
        sequences, facts = [], []
        for row, start, stop in zip(rows, block.indptr[:-1], block.indptr[1:], strict=True):
            genes, values = block.indices[start:stop], block.data[start:stop]
            name = self.profiles.names[row]
            found = tokeniser.sequences(name, self.profiles.tokens[genes], values, self.listed[genes])
            sequences.append(found)
            facts.append((len(values), share_of_ties(values) if len(values) else np.nan, len(found)))
        return sequences, np.array(facts, dtype=np.float64).reshape(-1, 3)

    def embed(self, sequences: list[list[Sequence]]) -> np.ndarray:
        """Return each profile's mean embedding at length 1, (profiles, width); NaN where it has no sequence."""
        return embed_sequences(self.model, sequences, padding=self.padding, batch_tokens=self.settings.batch_tokens)

    def draw_cosine(self, table: pd.DataFrame) -> pd.Series:
        """Return the cosine between two draws of some profiles: what the choice of genes and bins leaves to chance."""
        names = sorted(table.index)
        count = min(len(names), self.settings.quality_profiles)
        chosen = rng(self.seed, "profiles drawn twice").choice(len(names), count, replace=False)
        position = {name: row for row, name in enumerate(self.profiles.names)}
        rows = np.array([position[names[number]] for number in chosen], dtype=np.int64)
        if not count:
            return pd.Series(dtype=np.float64)
        again = self.embed(self.tokens(rows, draw=1)[0])
        picked = [names[number] for number in chosen]
        return pd.Series((again * table.loc[picked].to_numpy()).sum(axis=1), index=picked)


def find_device(device: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` means here.

    Raises
    ------
    ValueError
        If a GPU is insisted on and there is none.
    """
    have = torch.cuda.is_available()
    if device == "cuda" and not have:
        raise ValueError("device is 'cuda' but this job sees no GPU; request one, or set device to auto or cpu.")
    return torch.device("cuda" if have and device != "cpu" else "cpu")


def find_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of weights and activations; `auto` is half precision on a GPU and float32 on a CPU."""
    if precision == "auto":
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and precision == "float16":
        raise ValueError("genomics.precision is 'float16', which CPUs do not compute in; choose bfloat16 or float32.")
    if device.type == "cpu" and precision == "bfloat16" and not fast_bfloat16():
        logger.warning("this CPU has no instructions for bfloat16 and will be several times slower than in float32")
    return getattr(torch, precision)


def fast_bfloat16() -> bool:
    """Return whether the CPU multiplies in bfloat16 (AVX-512 BF16 or AMX)."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


def _key(expression: str, checkpoint: Checkpoint, settings: EmbedSettings, seed: int, dtype: torch.dtype) -> str:
    """Name what a shard depends on, so that shards of another input or setting are never taken up."""
    listed = settings.policy.partition(":")[2] if settings.policy.startswith("genes:") else ""
    parts = [sha256_file(expression), checkpoint.sha256, asdict(settings), seed, str(dtype)]
    parts += [sha256_file(listed)] if listed else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _others_cosine(table: pd.DataFrame) -> pd.Series:
    """Return each profile's mean cosine to the others; rows of `table` have length 1."""
    vectors = table.to_numpy(dtype=np.float64)
    if len(vectors) < 2:
        return pd.Series(np.nan, index=table.index)
    return pd.Series((vectors @ vectors.sum(axis=0) - 1) / (len(vectors) - 1), index=table.index)


def _log_quality(facts: pd.DataFrame) -> None:
    drawn = facts.dropna(subset="draw_cosine")
    if len(drawn):
        logger.info(
            "cosine of two draws of the same profile: %.4f (lowest %.4f); of different profiles: %.4f",
            drawn["draw_cosine"].mean(),
            drawn["draw_cosine"].min(),
            facts["others_cosine"].mean(),
        )
