"""A small GPT on bytes: learned positions, no dropout, untied head; and its layouts."""

from dataclasses import dataclass

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.nn import functional as F

LAYOUTS = {"single": 1, "dp": None, "tp": 2, "pp": 2, "dp_tp": 4}  # name → processes (None: any)


@dataclass(frozen=True)
class Config:
    layers: int = 4
    width: int = 256
    heads: int = 4
    context: int = 128
    vocabulary: int = 256


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.proj = nn.Linear(config.width, config.width)

    def _split_heads(self, x):
        batch, tokens, width = x.shape
        return x.reshape(batch, tokens, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x):
        batch, tokens, width = x.shape
        y = F.scaled_dot_product_attention(
            self._split_heads(self.query(x)), self._split_heads(self.key(x)),
            self._split_heads(self.value(x)), is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, 4 * config.width)
        self.gelu = nn.GELU()
        self.down = nn.Linear(4 * config.width, config.width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.token = nn.Embedding(config.vocabulary, config.width)
        self.position = nn.Embedding(config.context, config.width)
        for table in (self.token, self.position):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens):
        positions = self.position.weight
        if tokens.shape[1] != positions.shape[0]:
            positions = positions[:tokens.shape[1]]
        return self.token(tokens) + positions


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.logits = nn.Linear(config.width, config.vocabulary, bias=False)

    def forward(self, x):
        return self.logits(self.norm(x))


class Stage(nn.Module):
    """Consecutive parts of the model that live on one placement."""

    def __init__(self, parts, layout=None):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._layout = layout

    def forward(self, x):
        if self._layout is not None:
            x = x.to_global(**self._layout)
        for part in self.parts:
            x = part(x)
        return x


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = Head(config)

    def forward(self, tokens):
        x = self.embeddings(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def loss(self, tokens, targets):
        logits = self(tokens)
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


class Pipeline(nn.Module):
    """A GPT cut into stages. state_dict and load_state_dict keep the plain GPT's names."""

    def __init__(self, model, placements):
        super().__init__()
        parts = [model.embeddings, *model.blocks, model.head]
        cut = (len(parts) + len(placements) - 1) // len(placements)
        self.stages = nn.ModuleList()
        for index, placement in enumerate(placements):
            group = parts[index * cut:(index + 1) * cut]
            for part in group:
                part.to_global(placement=placement, sbp=flow.sbp.broadcast)
            layout = {"placement": placement, "sbp": flow.sbp.broadcast} if index else None
            self.stages.append(Stage(group, layout))
        self.__dict__["model"] = model  # the same parameters under their plain names

    def forward(self, tokens):
        for stage in self.stages:
            tokens = stage(tokens)
        return tokens

    def loss(self, tokens, targets):
        logits = self(tokens)
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    def state_dict(self, **kwargs):
        return self.model.state_dict(**kwargs)

    def load_state_dict(self, state_dict, strict=True):
        return self.model.load_state_dict(state_dict, strict)


def split_tensors(model, placement, replicated, axis_sbp):
    """Megatron's layout: first matrices by rows (heads, hidden units), second ones by columns."""
    split, whole = flow.sbp.split, flow.sbp.broadcast
    model.to_global(placement=placement, sbp=replicated)
    for block in model.blocks:
        attention = block.attention
        for linear in (attention.query, attention.key, attention.value, block.up):
            linear.weight = _relaid(linear.weight, axis_sbp(split(0)))
            linear.bias = _relaid(linear.bias, axis_sbp(split(0)))
        for linear in (attention.proj, block.down):
            linear.weight = _relaid(linear.weight, axis_sbp(split(1)))
            linear.bias = _relaid(linear.bias, axis_sbp(whole))


def _relaid(parameter, sbp):
    with flow.no_grad():
        return nn.Parameter(parameter.to_global(sbp=sbp))


class Laid:
    """A model in a layout: the module to train, and where its inputs and targets go."""

    def __init__(self, model, name, world):
        needed = LAYOUTS[name]
        if needed is not None and world != needed:
            raise SystemExit(f"--layout {name} needs {needed} process(es), this job has {world}: "
                             f"start it with oneflow-like-run --nproc-per-node {needed}")
        self.name = name
        self.module = model
        self.inputs = self.targets = None
        self.batch_parts, self.batch_part = 1, 0
        rank = flow.env.get_rank()
        split, whole = flow.sbp.split, flow.sbp.broadcast
        if name == "dp":
            placement = flow.placement("cpu", ranks=list(range(world)))
            model.to_global(placement=placement, sbp=whole)
            self.inputs = self.targets = (placement, split(0))
            self.batch_parts, self.batch_part = world, rank
        elif name == "tp":
            placement = flow.placement("cpu", ranks=[0, 1])
            split_tensors(model, placement, whole, lambda sbp: sbp)
            self.inputs = self.targets = (placement, whole)
        elif name == "dp_tp":
            placement = flow.placement("cpu", ranks=[[0, 1], [2, 3]])
            split_tensors(model, placement, (whole, whole), lambda sbp: (whole, sbp))
            self.inputs = self.targets = (placement, (split(0), whole))
            self.batch_parts, self.batch_part = 2, rank // 2
        elif name == "pp":
            placements = [flow.placement("cpu", ranks=[0]), flow.placement("cpu", ranks=[1])]
            self.module = Pipeline(model, placements)
            self.inputs, self.targets = (placements[0], whole), (placements[1], whole)

    def batch(self, tokens, targets):
        """The tensors of one whole batch that every process holds as arrays."""
        return self._tensor(tokens, self.inputs), self._tensor(targets, self.targets)

    def _tensor(self, array, where):
        if where is None:
            return flow.tensor(array)
        if len(array) % self.batch_parts:
            raise SystemExit(f"a batch of {len(array)} cannot be shared equally by "
                             f"{self.batch_parts} data-parallel parts: choose a multiple")
        rows = len(array) // self.batch_parts
        part = array[self.batch_part * rows:(self.batch_part + 1) * rows]
        return flow.tensor(part).to_global(placement=where[0], sbp=where[1])
