import numpy as np
import pandas as pd
import pytest
import torch

from pathgptomic.cohort.bags import Bags
from pathgptomic.survival import pooling
from pathgptomic.survival.layers import alpha_drop, drop
from pathgptomic.survival.network import FusionNetwork, Shape
from pathgptomic.survival.noise import Noise, draw_bytes
from pathgptomic.survival.pooling import AttentionPool, CachedPool, Instances
from pathgptomic.survival.settings import ModelSettings

WIDTHS = {"snn": 7, "expression": 9, "slides": 3, "clinical": 4}
MODALITIES = ["cnv", "mutations", "expression", "slides", "clinical"]
BATCH = 11


def make(networks=3, *, fusion="concat", nullable=(), **network):
    settings = ModelSettings.from_dict({"modalities": MODALITIES, "fusion": fusion, "network": network})
    made = FusionNetwork(networks, Shape(WIDTHS, frozenset(nullable)), settings, auxiliary=True)
    made.initialise(range(100, 100 + networks))
    return made


def tables(networks=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(networks, BATCH, width, generator=generator) for name, width in WIDTHS.items()}


def noise(network, seeds, step=1):
    return Noise(draw_bytes(seeds, step, BATCH, network.noise_width))


@pytest.mark.parametrize("fusion", ["concat", "kronecker"])
def test_stacked_networks_are_the_same_networks_alone(fusion):
    together = make(fusion=fusion, nullable=["snn"], modality_dropout=0.3, input_dropout=0.2)
    given = tables()
    present = {"snn": torch.rand(3, BATCH) > 0.4}
    output = together(given, present, noise(together, [5, 6, 7]))
    for k in range(3):
        alone = make(1, fusion=fusion, nullable=["snn"], modality_dropout=0.3, input_dropout=0.2)
        alone.load_state_dict({name: each[k : k + 1] for name, each in together.state_dict().items()})
        one = {name: each[k : k + 1] for name, each in given.items()}
        single = alone(one, {"snn": present["snn"][k : k + 1]}, noise(alone, [5 + k]))
        torch.testing.assert_close(single.log_hazard[0], output.log_hazard[k])
        for branch, block in single.blocks.items():
            torch.testing.assert_close(block[0], output.blocks[branch][k])


def test_weights_come_from_each_networks_own_seed():
    three, one = make(3), make(1)
    for (name, first), (_, alone) in zip(three.named_parameters(), one.named_parameters(), strict=True):
        torch.testing.assert_close(first[:1], alone, msg=name)
    weight = three.encoders["expression"].layers[0].weight
    assert not torch.allclose(weight[0], weight[1])


def test_concatenation_is_the_sum_of_its_blocks():
    network = make()
    output = network(tables(), {})
    torch.testing.assert_close(sum(output.blocks.values()), output.log_hazard)
    assert set(output.blocks) == {"genomics", "slides", "clinical"}


def test_kronecker_block_is_the_network_with_the_other_branches_at_zero():
    network = make(fusion="kronecker")
    with torch.no_grad():
        network.fusion.layers.layers[0].bias.normal_()
    output = network(tables(), {})
    one = network.fusion._gated(output.embeddings)
    zero = {name: torch.cat([torch.zeros_like(each[..., :-1]), each[..., -1:]], -1) for name, each in one.items()}
    assert all((each[..., -1] == 1).all() for each in one.values())
    for branch, block in output.blocks.items():
        torch.testing.assert_close(network.fusion._head({**zero, branch: one[branch]}, None), block)


def test_kronecker_product_holds_every_pair_of_units():
    network = make(fusion="kronecker")
    assert network.fusion.pairs == [("genomics", "slides"), ("genomics", "clinical"), ("slides", "clinical")]
    given = {}
    network.fusion.layers.forward = lambda product, noise: given.setdefault("product", product)[..., :16]
    output = network(tables(), {})
    one = {name: each[1, 2] for name, each in network.fusion._gated(output.embeddings).items()}
    expected = torch.cat([torch.outer(one[a], one[b]).flatten() for a, b in network.fusion.pairs])
    torch.testing.assert_close(given["product"][1, 2], expected)


def test_contributions_of_two_branches_add_up_to_the_log_hazard():
    settings = ModelSettings.from_dict({"modalities": ["cnv", "slides"], "fusion": "kronecker"})
    network = FusionNetwork(2, Shape({"snn": 5, "slides": 3}), settings)
    network.initialise([1, 2])
    given = {"snn": torch.randn(2, BATCH, 5), "slides": torch.randn(2, BATCH, 3)}
    output = network(given, {})
    parts = network.fusion.contributions(output.embeddings, output.blocks)
    zero = torch.nn.functional.pad(torch.zeros(2, BATCH, 8), (0, 1), value=1.0)
    null = network.fusion._head(dict.fromkeys(output.blocks, zero), None)
    torch.testing.assert_close(sum(parts.values()) + null, output.log_hazard)  # efficiency of the Shapley value


def test_a_patient_without_a_modality_is_independent_of_what_stands_in_the_table():
    network = make(nullable=["expression"])
    present = {"expression": torch.ones(3, BATCH, dtype=torch.bool)}
    present["expression"][:, 4] = False
    given = tables()
    before = network(given, present)
    given["expression"][:, 4] = 1e6
    after = network(given, present)
    torch.testing.assert_close(after.log_hazard, before.log_hazard)
    assert not before.seen  # the branch still has copy number and mutations
    with torch.no_grad():
        network.null["expression"] += 1
    changed = network(given, present).log_hazard != before.log_hazard
    assert changed[:, 4].all()
    assert not changed[:, :4].any()


def test_a_branch_that_is_absent_is_reported_as_not_seen():
    network = make(nullable=["slides"])
    there = torch.rand(3, BATCH) > 0.5
    assert torch.equal(network(tables(), {"slides": there}).seen["slides"], there)


def test_modality_dropout_hides_branches_but_never_all_of_them():
    network = make(modality_dropout=0.6, dropout=0.0)
    seen = torch.stack(list(network(tables(), {}, noise(network, [1, 2, 3])).seen.values()))
    assert seen.any(0).all()
    assert not seen.all()
    assert not network(tables(), {}).seen  # never in evaluation


def test_every_parameter_belongs_to_one_group():
    network = make(nullable=["slides"], fusion="kronecker")
    groups = network.groups()
    grouped = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(grouped) == sorted(map(id, network.parameters()))
    assert set(groups) == {"", "genomics", "slides", "clinical"}


def test_noise_depends_on_key_step_and_row_only():
    many = draw_bytes([3, 4, 5], 7, 20, 6)
    assert torch.equal(draw_bytes([4], 7, 12, 6)[0], many[1, :12])
    assert not torch.equal(draw_bytes([4], 8, 20, 6)[0], many[1])
    assert not torch.equal(draw_bytes([4], 7, 20, 6, purpose=1)[0], many[1])


def test_dropout_keeps_the_mean_and_alpha_dropout_mean_and_variance():
    drawn = draw_bytes([1], 1, 200_000, 1)
    x = torch.randn(1, 200_000, 1, generator=torch.Generator().manual_seed(0))
    dropped = drop(x + 2, 0.25, Noise(drawn))
    assert dropped.mean().item() == pytest.approx(2, abs=0.02)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    alpha = alpha_drop(x, 0.25, Noise(drawn))
    assert alpha.mean().item() == pytest.approx(0, abs=0.02)
    assert alpha.std().item() == pytest.approx(1, abs=0.02)


@pytest.fixture
def bags():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 14)
    stop = np.cumsum(sizes)
    index = {"fold": 0, "patient_id": [f"P{i}" for i in range(14)], "start": stop - sizes, "stop": stop}
    return Bags(rng.normal(2, 3, (stop[-1], 5)).astype(np.float16), pd.DataFrame(index), tuple("abcde"), "test", False)


def pool_and_data(bags, folds=(1, 2), width=6):
    ids = [f"P{i}" for i in range(14)] + ["without"]
    instances = Instances(bags, ids, list(folds), width, torch.device("cpu"))
    pool = AttentionPool(len(folds), 5, width)
    for parameter in pool.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(3))
    return pool, instances, instances.scale([np.arange(10), np.arange(4, 14)])


def test_gradient_caching_gives_the_gradient_of_the_whole(bags, monkeypatch):
    pool, whole, scale = pool_and_data(bags)
    assert len(whole.cut) == 1
    keep = (torch.rand(2, 15, 6) > 0.3).float()
    target = torch.randn(2, 15, 6)
    (part,) = whole.parts()
    expected_value = pool(part, scale, keep[:, part.patients])
    expected = torch.autograd.grad((expected_value.sin() * target[:, part.patients]).sum(), list(pool.parameters()))
    monkeypatch.setattr(pooling, "PART_ELEMENTS", 2 * 6 * 10)
    _, pieces, _ = pool_and_data(bags)
    assert len(pieces.cut) > 3
    cached = CachedPool(pool, pieces, scale, keep)
    torch.testing.assert_close(cached.pooled[:, part.patients], expected_value)
    (gradient,) = torch.autograd.grad((cached.pooled.sin() * target).sum(), cached.pooled)
    for mine, theirs in zip(cached.backward(gradient), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_attention_sums_to_one_over_real_instances(bags):
    pool, instances, scale = pool_and_data(bags)
    (part,) = instances.parts()
    weights = pool.attention(part, scale)
    sizes = part.valid.sum(-1)[0]
    has = sizes > 0
    torch.testing.assert_close(weights.sum(-1)[:, has], torch.ones(2, int(has.sum())))
    assert (weights * ~part.valid)[:, has].abs().max() == 0


def test_a_patient_is_pooled_alike_whoever_stands_beside(bags, monkeypatch):
    pool, whole, scale = pool_and_data(bags)
    together = CachedPool(pool, whole, scale).pooled
    monkeypatch.setattr(pooling, "PART_ELEMENTS", 1)
    _, alone, _ = pool_and_data(bags)
    assert all(len(each) == 1 for each in alone.cut)
    torch.testing.assert_close(CachedPool(pool, alone, scale).pooled, together)


def test_instances_are_standardised_on_each_networks_own_patients(bags):
    _, _, scale = pool_and_data(bags)
    per_patient = [bags.bag(1, f"P{i}").astype(float) for i in range(10)]
    mean = np.mean([each.mean(axis=0) for each in per_patient], axis=0)
    second = np.mean([(each**2).mean(axis=0) for each in per_patient], axis=0)
    np.testing.assert_allclose(scale.mean[0], mean, rtol=1e-5)
    np.testing.assert_allclose(scale.sd[0], np.sqrt(second - mean**2), rtol=1e-4)


def test_standardisation_folded_into_the_first_layer_equals_standardised_instances(bags):
    pool, instances, scale = pool_and_data(bags)
    (part,) = instances.parts()
    direct = (part.instances - scale.mean[:, None, None]) / scale.sd[:, None, None]  # [K, b, m, d]
    expected = torch.relu(torch.einsum("kbmd,kdh->kbmh", direct, pool.embed.weight) + pool.embed.bias[:, None])
    torch.testing.assert_close(torch.relu(pool._embed(part, scale)), expected, rtol=1e-4, atol=1e-4)
