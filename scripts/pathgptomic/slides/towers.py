"""Encoders, or parts of them, that timm does not have as they are used: short modules with a shape for every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClassAndMean(nn.Module):
    """Class token beside the mean of the patch tokens, as the Virchow models are used: [n, 3, s, s] -> [n, 2 d]."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels."""
        tokens = self.trunk.forward_features(pixels)  # [n, prefix + patches, d]
        return torch.cat([tokens[:, 0], tokens[:, self.trunk.num_prefix_tokens :].mean(1)], dim=-1)


class ThirdBlock(nn.Module):
    """Mean of a ResNet's third block, the features that CLAM and TRIDENT call ResNet50: [n, 3, s, s] -> [n, 1024]."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        self.conv1, self.bn1, self.act1, self.maxpool = trunk.conv1, trunk.bn1, trunk.act1, trunk.maxpool
        self.layer1, self.layer2, self.layer3 = trunk.layer1, trunk.layer2, trunk.layer3

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(pixels))))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))


class ConvStem(nn.Module):
    """The convolutional patch embedding of CTransPath (Wang et al. 2022): [n, 3, s, s] -> [n, s / 4, s / 4, d]."""

    def __init__(self, img_size=224, patch_size=4, in_chans=3, embed_dim=96, norm_layer=nn.LayerNorm, **_: object):
        super().__init__()
        height, width = img_size if isinstance(img_size, tuple) else (img_size, img_size)
        self.img_size, self.patch_size = (height, width), (patch_size, patch_size)
        self.grid_size = (height // patch_size, width // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        widths = [in_chans, embed_dim // 8, embed_dim // 4]
        layers: list[nn.Module] = []
        for given, made in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(given, made, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU()]
        self.proj = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, 1))
        self.norm = norm_layer(embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels."""
        return self.norm(self.proj(pixels).permute(0, 2, 3, 1))


class AttentionPool(nn.Module):
    """One learned query over the tokens (Lu et al. 2024, CONCH): [n, tokens, given] -> [n, width]."""

    def __init__(self, width: int, given: int, heads: int = 8):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, width))
        self.attn = nn.MultiheadAttention(width, heads, kdim=given, vdim=given, batch_first=True)
        self.ln_q, self.ln_k = nn.LayerNorm(width), nn.LayerNorm(given)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pool tokens."""
        keys = self.ln_k(tokens)
        query = self.ln_q(self.query).expand(len(tokens), 1, -1)
        return self.attn(query, keys, keys, need_weights=False)[0][:, 0]


class Conch(nn.Module):
    """The vision tower of CONCH, up to its contrastive features before projection: [n, 3, 448, 448] -> [n, 512]."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        self.trunk = trunk
        self.attn_pool_contrast = AttentionPool(512, trunk.num_features)
        self.ln_contrast = nn.LayerNorm(512)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels."""
        return self.ln_contrast(self.attn_pool_contrast(self.trunk.forward_features(pixels)))
