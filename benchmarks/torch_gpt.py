"""The example's GPT in PyTorch, for comparison: the same parameter names and arithmetic."""

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def _split_heads(self, x):
        batch, tokens, width = x.shape
        return x.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x):
        y = F.scaled_dot_product_attention(
            self._split_heads(self.query(x)), self._split_heads(self.key(x)),
            self._split_heads(self.value(x)), is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, layers=4, width=256, heads=4, context=128, vocabulary=256):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.token = nn.Embedding(vocabulary, width)
        self.embeddings.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head = nn.Module()
        self.head.norm = nn.LayerNorm(width)
        self.head.logits = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens, targets):
        x = self.embeddings.token(tokens) + self.embeddings.position.weight[:tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = self.head.logits(self.head.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def load_arrays(model, arrays):
    """Copies NumPy arrays, by parameter name, into the model."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
