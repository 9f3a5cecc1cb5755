"""Trains the GPT of gpt_case.py in a layout and writes its losses.

    gpt_trace_worker.py LAYOUT eager|graph STEPS FILE
"""

import json
import pathlib
import sys

import gpt_case

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "gpt"))

import model as gpt  # noqa: E402  (its folder was just put on the path)

import oneflow_like as flow  # noqa: E402
from oneflow_like import nn  # noqa: E402


def make_graph(laid, optimizer):
    class Step(nn.Graph):
        def __init__(self):
            super().__init__()
            self.model = laid.module
            if laid.name == "pp":
                self.config.set_gradient_accumulation_steps(4)
                for index, (placement, _) in enumerate((laid.inputs, laid.targets)):
                    stage = self.model.stages[index].to(nn.graph.GraphModule)
                    stage.set_stage(index, placement)
            self.add_optimizer(optimizer)

        def build(self, tokens, targets):
            loss = self.model.loss(tokens, targets)
            loss.backward()
            return loss

    return Step()


def losses_of(layout, mode, steps):
    config = gpt.Config(gpt_case.LAYERS, gpt_case.WIDTH, gpt_case.HEADS, gpt_case.CONTEXT,
                        gpt_case.VOCABULARY)
    module = gpt.GPT(config)
    module.load_state_dict({k: flow.tensor(v) for k, v in gpt_case.weights().items()})
    laid = gpt.Laid(module, layout, flow.env.get_world_size())
    optimizer = flow.optim.AdamW(laid.module.parameters(), **gpt_case.ADAMW)
    graph = make_graph(laid, optimizer) if mode == "graph" else None
    losses = []
    for tokens, targets in gpt_case.batches(steps):
        batch = laid.batch(tokens, targets)
        if graph is not None:
            loss = graph(*batch)
        else:
            loss = laid.module.loss(*batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach().numpy().mean()))  # a graph gives one a micro-batch
    return losses


def main():
    layout, mode, steps, path = sys.argv[1:]
    losses = losses_of(layout, mode, int(steps))
    if flow.env.get_rank() == 0:
        pathlib.Path(path).write_text(json.dumps(losses))


if __name__ == "__main__":
    main()
