"""Writes torch_trace.json: PyTorch's losses on the GPT of gpt_case.py.

    pip install torch==2.13 && python tests/python/make_torch_trace.py
"""

import json
import pathlib
import sys

import gpt_case
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))

import torch_gpt  # noqa: E402  (its folder was just put on the path)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = torch_gpt.GPT(gpt_case.LAYERS, gpt_case.WIDTH, gpt_case.HEADS, gpt_case.CONTEXT,
                          gpt_case.VOCABULARY)
    torch_gpt.load_arrays(model, gpt_case.weights())
    optimizer = torch.optim.AdamW(model.parameters(), **gpt_case.ADAMW)
    losses = []
    for tokens, targets in gpt_case.batches():
        loss = model(torch.from_numpy(tokens), torch.from_numpy(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    trace = {"torch": torch.__version__, "dtype": "float32", "losses": losses}
    (HERE / "torch_trace.json").write_text(json.dumps(trace, indent=1) + "\n")
    print(f"{len(losses)} losses: {losses[0]:.6f} ... {losses[-1]:.6f}")


if __name__ == "__main__":
    main()
