"""Time our scGPT encoder beside the published package, in the package's own environment; prints JSON.

``python scgpt_worker.py SCRIPTS_FOLDER CHECKPOINT VOCABULARY_SIZE``: SCRIPTS_FOLDER is put on the path, the checkpoint
is made if it is not there. CPU seconds of one thread, since other load moves those least.
"""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, sys.argv[1])
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pathgptomic.genomics.batches import embed_sequences  # noqa: E402
from pathgptomic.genomics.checkpoint import read_checkpoint  # noqa: E402
from pathgptomic.genomics.embed import fast_bfloat16  # noqa: E402
from pathgptomic.genomics.published import load_package  # noqa: E402
from pathgptomic.genomics.scgpt import ScGPT  # noqa: E402
from pathgptomic.genomics.tiny_checkpoint import OFFICIAL, write_checkpoint  # noqa: E402
from pathgptomic.genomics.tokens import Sequence  # noqa: E402

ROUNDS = 5
FULL = [1200] * 4
# like real single cells: a median of some 490 expressed genes, in the order in which they come
RAGGED = [int(n) for n in np.clip(np.random.default_rng(1).lognormal(np.log(490), 0.6, 16), 40, 1200)]


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[2])
    if not folder.is_dir():
        write_checkpoint(folder, genes=[f"G{number}" for number in range(int(sys.argv[3]))], sizes=OFFICIAL, seed=1)
    checkpoint = read_checkpoint(folder)
    published, ours = _published(folder, checkpoint.vocabulary), ScGPT(checkpoint)
    padding = checkpoint.vocabulary["<pad>"]
    answer: dict[str, object] = {"bfloat16": fast_bfloat16(), "ragged_median": statistics.median(RAGGED)}
    full, ragged = _sequences(FULL, checkpoint.vocabulary), _sequences(RAGGED, checkpoint.vocabulary)

    def with_ours(model: ScGPT) -> Callable[[list[Sequence]], np.ndarray]:
        return lambda sequences: embed_sequences(model, [[one] for one in sequences], padding=padding)

    answer["1200"] = _compare(published, with_ours(ours), full)
    answer["ragged"] = _compare(published, with_ours(ours), ragged)
    if answer["bfloat16"]:
        answer["bf16"] = _compare(published, with_ours(ScGPT(checkpoint, torch.bfloat16)), full)
    sys.stdout.write(json.dumps(answer) + "\n")


def _published(folder: Path, vocabulary: dict[str, int]) -> Callable[[list[Sequence]], np.ndarray]:
    """Return the package's own path from tokens to embeddings: one padded batch, its default transformer."""
    load_package()
    from scgpt.model import TransformerModel
    from scgpt.tokenizer import GeneVocab
    from scgpt.utils import load_pretrained

    names = GeneVocab.from_dict(vocabulary)
    sizes = (OFFICIAL["width"], OFFICIAL["heads"], OFFICIAL["hidden"], OFFICIAL["layers"], 3)
    model = TransformerModel(
        len(names),
        *sizes,
        n_cls=1,
        vocab=names,
        pad_token="<pad>",
        pad_value=-2,
        do_mvc=True,
        use_fast_transformer=False,
    )
    load_pretrained(model, torch.load(folder / "best_model.pt", weights_only=True), verbose=False)
    model.eval()

    def embed(sequences: list[Sequence]) -> np.ndarray:
        longest = max(len(one.ids) for one in sequences)
        ids = torch.full((len(sequences), longest), vocabulary["<pad>"])
        values = torch.full((len(sequences), longest), -2.0)
        for line, one in enumerate(sequences):
            ids[line, : len(one.ids)] = torch.from_numpy(one.ids)
            values[line, 1 : len(one.ids)] = torch.from_numpy(one.rows[1:]).float()
        with torch.no_grad():
            out = model._encode(ids, values, src_key_padding_mask=ids.eq(vocabulary["<pad>"]))[:, 0].numpy()
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    return embed


def _sequences(lengths: list[int], vocabulary: dict[str, int]) -> list[Sequence]:
    generator = np.random.default_rng(2)
    genes = len(vocabulary) - 3
    return [
        Sequence(
            np.r_[vocabulary["<cls>"], generator.choice(genes, length - 1, replace=False)],
            np.r_[0, generator.integers(1, 51, length - 1)],
        )
        for length in lengths
    ]


def _compare(theirs: Callable, ours: Callable, sequences: list[Sequence]) -> dict[str, float]:
    """Return profiles a CPU second of both, the median of the ratios within rounds, and how far results are apart."""
    runs = {"theirs": theirs, "ours": ours}
    results = {name: run(sequences) for name, run in runs.items()}  # also warms up
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.process_time()
            run(sequences)
            taken[name].append(time.process_time() - start)
    ratios = [slow / fast for slow, fast in zip(taken["theirs"], taken["ours"], strict=True)]
    return {
        "ours": len(sequences) / statistics.median(taken["ours"]),
        "theirs": len(sequences) / statistics.median(taken["theirs"]),
        "ratio": statistics.median(ratios),
        "best": min(taken["theirs"]) / min(taken["ours"]),
        "cosine": float((results["ours"] * results["theirs"]).sum(axis=1).min()),
        "difference": float(np.abs(results["ours"] - results["theirs"]).max()),
    }


if __name__ == "__main__":
    main()
