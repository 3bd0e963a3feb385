"""An image network in the fusion model: gradients through parts, the same pictures in both passes, and learning."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pathgptomic.survival.cox import cox_loss
from pathgptomic.survival.image_pool import ImagePool, Pictures, image_network
from pathgptomic.survival.pooling import CachedPool
from pathgptomic.survival.risk_sets import RiskSets

COLOUR = ((0.7, 0.5, 0.7), (0.2, 0.2, 0.2))
CPU = torch.device("cpu")


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def regions(patients: int = 7, side: int = 24) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
    """Noise pictures, one to three a patient; the last patient has none."""
    counts = [1 + i % 3 for i in range(patients - 1)]
    rows = np.random.default_rng(0).integers(0, 256, (sum(counts), side, side, 3), np.uint8)
    names = [f"p{i}" for i in range(patients)]
    owner = np.repeat(names[:-1], counts)
    return rows, pd.DataFrame({"patient_id": owner, "row": np.arange(len(rows))}), names


def pool_of(networks: int = 2, size: int = 16) -> ImagePool:
    pool = ImagePool(networks, small_network(), width=12, size=size, colour=COLOUR)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in pool.parameters():
            each.add_(0.1 * torch.randn(each.shape, generator=generator))
    return pool


def keep_factors(networks: int, patients: int, width: int = 12) -> torch.Tensor:
    return (torch.rand(networks, patients, width, generator=torch.Generator().manual_seed(3)) > 0.25) / 0.75


def test_each_network_is_the_image_network_with_its_own_weights():
    rows, table, names = regions()
    pool = pool_of()
    part = next(Pictures(rows, table, names, most=100, device=CPU).parts())
    pooled = pool(part, None)
    middle = torch.from_numpy(rows[:, 4:20, 4:20]).permute(0, 3, 1, 2).float()
    normalised = (middle / 255 - torch.tensor(COLOUR[0]).view(3, 1, 1)) / torch.tensor(COLOUR[1]).view(3, 1, 1)
    for k in range(2):
        own = small_network().eval()
        own.load_state_dict({pool.names[name]: each[k] for name, each in pool.weights.items()}, strict=False)
        with torch.no_grad():
            features = torch.relu(own(normalised) @ pool.embed.weight[k] + pool.embed.bias[k])
        for at, patient in enumerate(part.patients[:-1]):
            mine = table["patient_id"].to_numpy() == names[patient]
            assert torch.allclose(pooled[k, at], features[torch.from_numpy(mine)].mean(0), atol=1e-5)
    assert not pooled[:, -1].any()  # no picture, no vector


def test_gradient_caching_over_parts_is_the_gradient_of_the_whole():
    rows, table, names = regions()
    pool, keep = pool_of(), keep_factors(2, len(names))
    whole, parts = (Pictures(rows, table, names, most=most, device=CPU) for most in (1000, 3))
    assert len(parts.cut) > 2
    time, event = np.arange(1, 8.0).repeat(2).reshape(7, 2).T, np.array([[True] * 7, [True, False] * 3 + [True]])
    sets = RiskSets.build(torch.from_numpy(time.copy()), torch.from_numpy(event))

    part = next(whole.parts())
    order = torch.from_numpy(np.argsort(part.patients))
    direct = pool(part, None, keep[:, part.patients])[:, order]
    expected = torch.autograd.grad(cox_loss(direct.sum(-1), sets).sum(), list(pool.parameters()))

    cached = CachedPool(pool, parts, None, keep)
    assert torch.allclose(cached.pooled, direct, atol=1e-5)
    through = torch.autograd.grad(cox_loss(cached.pooled.sum(-1), sets).sum(), cached.pooled)[0]
    for found, one in zip(cached.backward(through), expected, strict=True):
        assert torch.allclose(found, one, atol=1e-4, rtol=1e-3)


def test_pictures_change_with_the_step_and_not_within_it():
    rows, table, names = regions()
    pool = pool_of()
    part = next(Pictures(rows, table, names, most=100, device=CPU).parts())
    first, second = keep_factors(2, len(names)), keep_factors(2, len(names)).flip(2)
    same = [pool._prepare(part.pictures, first) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], pool._prepare(part.pictures, second))
    assert same[0].shape == (part.pictures.shape[0] * part.pictures.shape[1], 3, 16, 16)


def test_weights_of_a_timm_model_are_read_and_checked(tmp_path):
    from safetensors.torch import save_file

    model, colour = image_network("resnet10t")
    assert len(colour[0]) == 3
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again, _ = image_network("resnet10t", tmp_path / "model.safetensors")
    assert torch.equal(again.conv1[0].weight, model.conv1[0].weight)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="lacks weights of resnet10t"):
        image_network("resnet10t", tmp_path / "other.safetensors")


def test_the_network_learns_nuclear_density_from_survival_alone():
    random = np.random.default_rng(0)
    density = random.uniform(2, 40, 24)  # nuclei in a picture
    rows = np.full((24, 72, 72, 3), (228, 180, 215), np.uint8)
    for picture, count in zip(rows, density, strict=True):
        for at in random.integers(0, 72, (round(count), 2)):
            cv2.circle(picture, at.tolist(), 3, (110, 80, 150), -1)
    names = [f"p{i}" for i in range(24)]
    pictures = Pictures(rows, pd.DataFrame({"patient_id": names, "row": range(24)}), names, most=8, device=CPU)
    time = torch.from_numpy(100 - density)[None]  # the denser, the sooner
    sets = RiskSets.build(time, torch.ones(1, 24, dtype=torch.bool))
    pool = ImagePool(1, small_network(), width=8, size=64, colour=COLOUR)
    head = nn.Parameter(torch.full((8,), 0.1))
    with torch.no_grad():
        pool.embed.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam([*pool.parameters(), head], lr=0.01)
    losses = []
    for step in range(25):
        keep = (torch.rand(1, 24, 8, generator=torch.Generator().manual_seed(step)) > 0.1) / 0.9
        cached = CachedPool(pool, pictures, None, keep)
        loss = cox_loss(cached.pooled @ head, sets).sum()
        own, through = torch.autograd.grad(loss, [head, cached.pooled])
        head.grad = own
        for parameter, gradient in zip(pool.parameters(), cached.backward(through), strict=True):
            parameter.grad = gradient
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2
    risk = (CachedPool(pool, pictures, None).pooled @ head).detach().numpy()[0]
    assert np.corrcoef(risk, density)[0, 1] > 0.7
