"""An image network in the fusion model: crops, gradients through parts, and what it learns from survival alone."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from sksurv.metrics import concordance_index_censored
from torch import nn

from pathgptomic.cohort import tables
from pathgptomic.survival import chunks
from pathgptomic.survival.bundle import Bundle
from pathgptomic.survival.cox import cox_loss
from pathgptomic.survival.image_network import CachedPictures, ImageBase, ImageNetworks, first_scale, make_base
from pathgptomic.survival.inputs import read_inputs
from pathgptomic.survival.noise import draw_bytes
from pathgptomic.survival.pictures import CHANGES, Pictures, Regions, change_colours
from pathgptomic.survival.predict import predict_patients
from pathgptomic.survival.risk_sets import RiskSets
from pathgptomic.survival.settings import ModelSettings, RoiSettings
from pathgptomic.survival.stack import members
from pathgptomic.timm_weights import embedded_weights, read_weights
from tests.unit.survival.synthetic import make_splits
from tests.unit.survival.test_train import run

CPU = torch.device("cpu")
CROP = 16


def small_base() -> ImageBase:
    """Return a convolutional network of six layers with weights of its own."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    return ImageBase(network, tuple(name for name, _ in network.named_parameters()), 8, (178.5,) * 3, (51.0,) * 3)


def noise_regions(patients: int = 7, side: int = 40) -> tuple[Regions, list[str]]:
    """Return noise pictures, one to three a patient; the last patient has none."""
    names = [f"p{i}" for i in range(patients)]
    counts = np.array([1 + i % 3 for i in range(patients - 1)])
    rows = np.random.default_rng(0).integers(0, 256, (counts.sum(), side, side, 3), np.uint8)
    ends = counts.cumsum()
    return Regions(rows, {n: np.arange(e - c, e) for n, c, e in zip(names, counts, ends, strict=False)}), names


def make_pictures(most: int = 100, side: int = 40) -> Pictures:
    regions, names = noise_regions(side=side)
    return Pictures(regions, names, crop=CROP, most=most, device=CPU)


def networks_of(count: int = 2) -> ImageNetworks:
    pool = ImageNetworks(count, small_base())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in pool.parameters():
            each.add_(0.1 * torch.randn(each.shape, generator=generator))
    return pool


def changes_of(seeds: list[int], pictures: Pictures, step: int = 1) -> np.ndarray:
    return draw_bytes(seeds, step, len(pictures.row), CHANGES).numpy()


def everybody(pictures: Pictures, networks: int = 2) -> np.ndarray:
    return np.tile(np.arange(len(pictures.count)), (networks, 1))


def test_each_network_is_the_image_network_with_its_own_weights():
    pictures, pool = make_pictures(most=5), networks_of()
    pooled = CachedPictures(pool, pictures, everybody(pictures)).pooled
    rows = pictures.regions.rows
    # 40 pixels hold two crops of 16 a side, from edge to edge
    crops = np.stack([rows[:, y : y + 16, x : x + 16] for y in (0, 24) for x in (0, 24)], axis=1)
    normalised = (torch.from_numpy(crops).flatten(0, 1).permute(0, 3, 1, 2).float() - 178.5) / 51
    for k in range(2):
        own = small_base().network
        own.load_state_dict(pool.of(k), strict=False)
        features = own(normalised).detach().view(len(rows), 4, -1).mean(1)
        for patient, name in enumerate(f"p{i}" for i in range(6)):
            expected = features[pictures.regions.of_patient[name]].mean(0)
            torch.testing.assert_close(pooled[k, patient], expected, atol=1e-5, rtol=1e-4)
    assert not pooled[:, -1].any()  # no region, no features


@pytest.mark.parametrize("changed", [True, False])
def test_gradient_caching_over_parts_is_the_gradient_of_the_whole(changed: bool):
    pictures, pool = make_pictures(most=3), networks_of()
    changes = changes_of([5, 6], pictures) if changed else None
    time, event = np.arange(1, 8.0).repeat(2).reshape(7, 2).T, np.array([[True] * 7, [True, False] * 3 + [True]])
    sets = RiskSets.build(torch.from_numpy(time.copy()), torch.from_numpy(event))
    assert len(list(pictures.parts(np.ones(7, bool)))) > 3

    pictures.most = 1000
    whole = []
    for k in range(2):
        weights = {pool.names[name]: each[k] for name, each in pool.weights.items()}
        (part,) = pictures.parts(np.ones(7, bool), None if changes is None else changes[k])
        whole.append(torch.zeros(7, 8).index_add(0, torch.from_numpy(part.patients), pool(part, weights)))
    direct = torch.stack(whole)
    expected = torch.autograd.grad(cox_loss(direct.sum(-1), sets).sum(), list(pool.parameters()))

    pictures.most = 3
    cached = CachedPictures(pool, pictures, everybody(pictures), changes)
    torch.testing.assert_close(cached.pooled, direct, atol=1e-5, rtol=1e-4)
    through = torch.autograd.grad(cox_loss(cached.pooled.sum(-1), sets).sum(), cached.pooled)[0]
    for found, one in zip(cached.backward(through), expected, strict=True):
        torch.testing.assert_close(found, one, atol=1e-5, rtol=1e-3)


def test_a_network_reads_the_pictures_of_its_own_patients_alone():
    pictures, pool = make_pictures(), networks_of()
    rows = np.array([[0, 3, -1], [5, 1, 2]])
    some, all_ = (CachedPictures(pool, pictures, each).pooled for each in (rows, everybody(pictures)))
    for k, own in enumerate(([0, 3], [5, 1, 2])):
        torch.testing.assert_close(some[k, own], all_[k, own])
        assert not some[k, [i for i in range(7) if i not in own]].any()


def test_changes_follow_the_network_and_the_step_not_who_is_beside_it():
    pictures = make_pictures()
    pool = networks_of(1)
    both = changes_of([5, 6], pictures)
    np.testing.assert_array_equal(both[1], changes_of([6], pictures)[0])
    made = [next(pictures.parts(np.ones(7, bool), each)) for each in (both[0], both[0], both[1])]
    again = next(pictures.parts(np.ones(7, bool), changes_of([5], pictures, step=2)[0]))
    assert torch.equal(made[0].crops, made[1].crops)
    assert not torch.equal(made[0].crops, made[2].crops)
    assert not torch.equal(made[0].crops, again.crops)
    # crops at many places, some mirrored and turned, all of them pieces of the region
    assert made[0].crops.shape == (len(pictures.row), 3, CROP, CROP)
    tested = CachedPictures(pool, pictures, everybody(pictures, 1), both[:1]).pooled
    torch.testing.assert_close(tested, CachedPictures(pool, pictures, everybody(pictures, 1), both[:1]).pooled)


def test_every_place_turn_and_mirror_image_comes_up():
    pictures = make_pictures(side=18)
    region = pictures.regions.rows[0]
    seen = set()
    wanted = {
        np.ascontiguousarray(turned[:, ::step]).tobytes(): (top, left, turn, step)
        for top in range(3) for left in range(3) for turn in range(4) for step in (1, -1)
        for turned in [np.rot90(region[top : top + 16, left : left + 16], turn)]
    }  # fmt: skip
    for step in range(600):
        seen.add(wanted[np.ascontiguousarray(pictures._changed(0, changes_of([1], pictures, step)[0, 0])).tobytes()])
    assert seen == set(wanted.values())


def test_colours_change_as_their_factors_say():
    crops = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 100 + 80
    ones = torch.ones(3, 3)
    torch.testing.assert_close(change_colours(crops, ones), crops)
    brighter, flatter, grey = ones.clone(), ones.clone(), ones.clone()
    brighter[:, 0], flatter[:, 1], grey[:, 2] = 1.1, 0.5, 0.0
    torch.testing.assert_close(change_colours(crops, brighter), 1.1 * crops)
    torch.testing.assert_close(change_colours(crops, flatter).std((1, 2, 3)), 0.5 * crops.std((1, 2, 3)))
    torch.testing.assert_close(change_colours(crops, grey)[:, 0], crops.mean(1))


def test_features_are_read_on_the_scale_of_the_training_patients():
    pictures, base = make_pictures(), small_base()
    rows = [np.array([0, 1, 2, 6]), np.array([3, 4, 5])]  # patient 6 has no region
    scale = first_scale(base, pictures, rows, 0.3)
    values = CachedPictures(ImageNetworks(1, base), pictures, everybody(pictures, 1)).pooled[0].detach()
    for k, own in enumerate(([0, 1, 2], [3, 4, 5])):
        read = (values[own] - scale.mean[k]) / scale.sd[k]
        torch.testing.assert_close(read.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
        assert torch.linalg.matrix_norm(read, 2).item() / np.sqrt(3) == pytest.approx(0.3, rel=0.02)
    with pytest.raises(ValueError, match="have no region of interest"):
        first_scale(base, pictures, [np.array([6])], 0.3)


def test_regions_are_checked(tmp_path: Path):
    regions, names = noise_regions()
    with pytest.raises(ValueError, match="regions of 40 pixels are smaller than a crop of 41"):
        Pictures(regions, names, crop=41, most=1, device=CPU)
    np.save(tmp_path / "rois.npy", regions.rows)
    (tmp_path / "rois.tsv").write_text("patient_id\trow\nNA\t1\np1\t\np1\t0\n")
    found = Regions.load(tmp_path / "rois.npy")
    assert {name: list(each) for name, each in found.of_patient.items()} == {"NA": [1], "p1": [0]}
    assert isinstance(found.rows, np.memmap)
    (tmp_path / "rois.tsv").write_text("patient_id\trow\np1\t99\n")
    with pytest.raises(ValueError, match="names rows that .* does not have"):
        Regions.load(tmp_path / "rois.npy")
    np.save(tmp_path / "rois.npy", regions.rows[:, :-1])
    with pytest.raises(ValueError, match=r"needs to be .n, side, side, 3. uint8"):
        Regions.load(tmp_path / "rois.npy")


def test_weights_of_a_timm_model_are_read_and_checked(tmp_path: Path):
    from safetensors.torch import save_file

    lite = make_base(RoiSettings(crop=64))
    stem = next(iter(read_weights(embedded_weights()).values()))
    assert torch.equal(lite.network.conv_stem.weight, stem)
    assert (lite.features, lite.mean) == (1280, (127.5,) * 3)

    first = make_base(RoiSettings("test_vit", crop=160), seed=1)
    assert not torch.equal(first.network.pos_embed, make_base(RoiSettings("test_vit", crop=160), 2).network.pos_embed)
    save_file(first.network.state_dict(), tmp_path / "vit.safetensors")
    again = make_base(RoiSettings("test_vit", str(tmp_path / "vit.safetensors"), 160))
    assert torch.equal(again.network.pos_embed, first.network.pos_embed)
    smaller = make_base(RoiSettings("test_vit", str(tmp_path / "vit.safetensors"), 96))  # positions are resized
    assert smaller.network.pos_embed.shape[1] < first.network.pos_embed.shape[1]
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="lacks 78 of the 78 weights of test_vit"):
        make_base(RoiSettings("test_vit", str(tmp_path / "other.safetensors"), 160))
    with pytest.raises(ValueError, match="timm has no model 'resnet5O'"):
        make_base(RoiSettings("resnet5O"))


def test_frozen_layers_are_those_next_to_the_input():
    trained = [make_base(RoiSettings("test_efficientnet", crop=64, frozen=share)).trained for share in (0, 0.5, 1)]
    assert [len(each) for each in trained[::2]] == [47, 0]
    assert not [name for name in trained[1] if "stem" in name]
    assert [name for name in trained[1] if "conv_head" in name]
    base = make_base(RoiSettings("test_efficientnet", crop=64, frozen=0.5))
    pool = ImageNetworks(2, base)
    assert len(list(pool.parameters())) == len(base.trained)
    assert "conv_stem.weight" in base.shared()
    assert not set(base.trained) & set(base.shared())


# A cohort whose risk is the nuclear density of its regions, and a gene that carries as much.

SIDE, PATIENTS = 64, 60
MODEL = {
    "modalities": ["expression", "rois"],
    "features": {"expression": {"pca": 0}},
    "network": {"dropout": 0.1},
    "training": {"epochs": 25, "patience": 25},
    "rois": {"network": "test_efficientnet", "crop": 48, "learning_rate": 0.003, "batch": 32},
}


@functools.cache
def tissue(level: int) -> np.ndarray:
    """Return a drawn piece of tissue, 1024 pixels of a micron; every level is a third denser than the last."""
    rng = np.random.default_rng(level)
    empty = np.ones((1024, 1024), bool)
    empty[tuple(rng.integers(0, 1024, (2, rng.poisson(2000 * 1.33**level * 1.024**2))))] = False
    nuclei = distance_transform_edt(empty) <= 3.2  # microns
    colours = np.where(nuclei[..., None], (95, 60, 140), (225, 160, 200)) + rng.normal(0, 8, (1024, 1024, 1))
    return colours.round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the paths of a cohort with two regions a patient; some patients have none."""
    folder = tmp_path_factory.mktemp("rois")
    rng = np.random.default_rng(3)
    ids = pd.Index([f"P{i:03d}" for i in range(PATIENTS)], name="patient_id")
    level, gene = rng.integers(0, 8, PATIENTS), rng.normal(size=PATIENTS)
    risk = 0.75 * (level - 3.5) + 0.8 * gene
    death, last = rng.exponential(1000 * np.exp(-risk)) + 1, rng.uniform(500, 6000, PATIENTS)
    table = pd.DataFrame({"time_days": np.minimum(death, last).round(), "event": death <= last}, ids)
    table = table.assign(site="A", stratum="")
    table[[f"has_{name}" for name in ("clinical", "expression", "cnv", "mutations", "slides")]] = True
    tables.write_patients(folder / "patients.tsv", table)
    expression = pd.DataFrame(rng.normal(size=(PATIENTS, 5)), ids, [f"g{i}" for i in range(5)]).assign(g0=gene)
    tables.write_expression(folder / "expression.h5ad", expression, "zscore")
    tables.write_splits(folder / "splits.tsv", make_splits(ids, 1, 2, rng))
    owners = np.repeat(np.arange(PATIENTS - 2), 2)  # the last two have no region
    places = rng.integers(0, 1024 - SIDE, (len(owners), 2))
    rows = [tissue(level[o])[y : y + SIDE, x : x + SIDE] for o, (y, x) in zip(owners, places, strict=True)]
    np.save(folder / "rois.npy", np.stack(rows))
    pd.DataFrame({"patient_id": ids[owners], "row": range(len(owners))}).to_csv(folder / "rois.tsv", sep="\t")
    files = {"patients": "patients.tsv", "splits": "splits.tsv", "expression": "expression.h5ad", "rois": "rois.npy"}
    return {name: str(folder / file) for name, file in files.items()}


def trained(cohort: dict[str, str], folder: Path, **others) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Train a model and return its predictions, its history and its files."""
    files = run(cohort, folder, {**MODEL, **others})
    table = pd.read_csv(files["predictions"], sep="\t")
    return table, pd.read_parquet(files["history"]), files


@pytest.fixture(scope="module")
def alone(cohort, tmp_path_factory):
    """Return what a model of the image branch alone says."""
    paths = {name: path for name, path in cohort.items() if name != "expression"}
    return trained(paths, tmp_path_factory.mktemp("alone"), modalities=["rois"])


@pytest.fixture(scope="module")
def balanced(cohort, tmp_path_factory):
    """Return a fusion model that balance trains, for a few epochs."""
    few = {"training": {"epochs": 4, "early_stopping": False}, "balance": {"strategy": "path-gptomic"}}
    return trained(cohort, tmp_path_factory.mktemp("balanced"), **few)


def test_the_image_branch_finds_the_planted_risk_in_patients_it_never_saw(cohort, alone):
    predictions, history, _ = alone
    patients = tables.read_patients(cohort["patients"])
    for role in ("test", "inner"):
        rows = predictions[predictions["role"] == role]
        outcome = patients.loc[rows["patient_id"]]
        assert concordance_index_censored(outcome["event"], outcome["time_days"], rows["log_hazard"])[0] > 0.65
    loss = history.query("quantity == 'loss' and inner == 0").sort_values("epoch")["value"]
    assert loss.iloc[-1] < loss.iloc[0] - 0.1


def test_balance_changes_the_realised_step_of_the_image_branch(cohort, balanced, tmp_path: Path):
    _, history, _ = balanced
    _, plain, _ = trained(cohort, tmp_path, training={"epochs": 4, "early_stopping": False})
    keys = ["fold", "seed", "inner", "epoch", "quantity", "branch"]
    joined = history.merge(plain, on=keys, suffixes=("", "_plain"))
    first = joined[(joined["epoch"] == 1) & (joined["branch"] != "")].pivot_table(
        index=["inner", "branch"], columns="quantity"
    )
    # the first step starts from the same weights, so that the coefficient is the ratio of what was gone
    ratio = first["value", "update_norm"] / first["value_plain", "update_norm"]
    np.testing.assert_allclose(ratio, first["value", "coefficient"], rtol=1e-3)
    assert set(ratio.index.get_level_values("branch")) == {"genomics", "rois"}
    assert first["value", "coefficient"].min() < 0.999
    assert (joined.query("quantity == 'coefficient' and branch == 'rois'")["value"] < 0.999).any()


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(cohort, balanced, tmp_path: Path):
    few = {"training": {"epochs": 4, "early_stopping": False}, "balance": {"strategy": "path-gptomic"}}
    again, _, _ = trained(cohort, tmp_path / "again", **few, rois={**MODEL["rois"], "batch": 32})
    pd.testing.assert_frame_equal(again, balanced[0])
    run(cohort, tmp_path / "other", {**MODEL, **few}, seed=18)
    other = pd.read_csv(tmp_path / "other" / "predictions.tsv", sep="\t")
    assert not np.allclose(other["log_hazard"], again["log_hazard"], atol=1e-3)


@pytest.mark.parametrize(
    "others",
    [
        {"loss": {"risk_set": "batch", "batch_size": 20}, "balance": {"strategy": "mmpareto"}},
        {"fusion": "kronecker", "balance": {"strategy": "ogm-ge", "apply_to": "update"}, "rois": {"frozen": 0.5}},
    ],
)
def test_stacked_training_is_training_one_network_after_the_other(cohort, others: dict):
    few = {"training": {"epochs": 2, "early_stopping": False}, **others}
    model = ModelSettings.from_dict({**MODEL, **few, "rois": {**MODEL["rois"], **others.get("rois", {})}})
    inputs = read_inputs(cohort, {}, model.modalities)
    networks, base = members(inputs, 1), make_base(model.rois)
    shape = chunks.network_shape(inputs, model, {}, base)
    about = {"seed": 17, "device": CPU, "images": base}
    stacked = chunks.fit_chunk(inputs, model, networks, {}, shape, **about)
    alone = chunks.fit_chunk(inputs, model, networks[1:2], {}, shape, **about)
    merged = stacked.history.merge(alone.history, on=["fold", "seed", "inner", "epoch", "quantity", "branch"])
    assert len(merged) == len(alone.history) > 20
    np.testing.assert_allclose(merged["value_x"], merged["value_y"], rtol=1e-4, atol=1e-4)


def test_a_bundle_predicts_new_patients_from_their_regions(cohort, balanced, tmp_path: Path):
    _, _, files = balanced
    bundle = Bundle.load(files["weights"], files["facts"])
    assert {name for name in bundle.weights if name.startswith("images.")}
    predict_patients(
        weights=files["weights"], facts=files["facts"], months=[12], out=str(tmp_path / "new.tsv"),
        tables={name: cohort[name] for name in ("expression", "rois")},
    )  # fmt: skip
    new = pd.read_csv(tmp_path / "new.tsv", sep="\t", keep_default_na=False).set_index("patient_id")
    assert list(new.index[new["lacking"] == "rois"]) == [f"P{PATIENTS - 2:03d}", f"P{PATIENTS - 1:03d}"]
    tested = balanced[0].query("role == 'test'").set_index("patient_id")["log_hazard"]
    np.testing.assert_allclose(new.loc[tested.index, "log_hazard"], tested, atol=1e-4)
