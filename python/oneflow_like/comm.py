"""Collectives on local tensors, built from conversions of global ones.

Every rank of the job takes part in a collective; `send` and `recv` concern two ranks. Results are
written into the given tensors, as in torch.distributed. Gradients do not flow through.
"""

from . import _C
from ._C import InvalidArgumentError, TypeMismatchError
from ._absent import getter as _getter
from ._functions import empty, zeros
from .autograd import no_grad
from .env import get_world_size
from .nn._watch import refuse_in_build

_OPS = {"sum": "partial_sum", "max": "partial_max", "min": "partial_min"}


def _world():
    return _C.placement.all("cpu")


def _outside_build(op):
    refuse_in_build(f"comm.{op}", "global tensors and their layouts, or it before or after the "
                                  "call")


def _need_local(op, tensor):
    if not isinstance(tensor, _C.Tensor):
        raise TypeMismatchError(f"[{op}] got {type(tensor).__name__}; expected a Tensor")
    if tensor.is_global:
        raise InvalidArgumentError(
            f"[{op}] got a global tensor; expected a local one: convert layouts with "
            "x.to_global(sbp=...) instead")


def _need_list(op, name, tensors):
    if not isinstance(tensors, (list, tuple)):
        raise TypeMismatchError(f"[{op}] argument '{name}' must be a list of Tensors, not "
                                f"{type(tensors).__name__}; expected one a rank")
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, _C.Tensor):
            raise TypeMismatchError(f"[{op}] {name}[{index}] is no tensor: got "
                                    f"{type(tensor).__name__}; expected a Tensor")
        _need_local(op, tensor)


def _need_rank(op, name, rank):
    if not 0 <= rank < get_world_size():
        raise InvalidArgumentError(f"[{op}] got {name}={rank}; expected a rank from 0 to "
                                   f"{get_world_size() - 1}")


def _partial(op, how):
    if how not in _OPS or not hasattr(_C.sbp, _OPS[how]):
        known = [key for key, name in _OPS.items() if hasattr(_C.sbp, name)]
        raise InvalidArgumentError(f"[{op}] got op={how!r}; expected one of {known}")
    return getattr(_C.sbp, _OPS[how])


def all_reduce(tensor, op="sum"):
    """Replaces `tensor` on every rank by the sum (max, min) over all ranks."""
    _outside_build("all_reduce")
    _need_local("all_reduce", tensor)
    with no_grad():
        whole = tensor.to_global(placement=_world(), sbp=_partial("all_reduce", op))
        tensor.copy_(whole.to_global(sbp=_C.sbp.broadcast).to_local())
    return tensor


def _gathered(op, tensor):
    _need_local(op, tensor)
    parts = tensor.detach().reshape((1, *tensor.shape))
    whole = parts.to_global(placement=_world(), sbp=_C.sbp.split(0))
    return whole.to_global(sbp=_C.sbp.broadcast).to_local()


def all_gather(tensor_list, tensor):
    """Fills tensor_list[r] with rank r's tensor; all have the same shape."""
    _outside_build("all_gather")
    _need_list("all_gather", "tensor_list", tensor_list)
    if len(tensor_list) != get_world_size():
        raise InvalidArgumentError(
            f"[all_gather] got {len(tensor_list)} output tensors; expected one a "
            f"rank: {get_world_size()}")
    with no_grad():
        whole = _gathered("all_gather", tensor)
        for rank, out in enumerate(tensor_list):
            out.copy_(whole[rank])


def all_gather_into_tensor(output_tensor, input_tensor):
    """Fills the output with all ranks' tensors, concatenated along dimension 0."""
    _outside_build("all_gather_into_tensor")
    _need_local("all_gather_into_tensor", output_tensor)
    with no_grad():
        whole = _gathered("all_gather_into_tensor", input_tensor)
        output_tensor.copy_(whole.reshape(tuple(output_tensor.shape)))


def reduce_scatter_tensor(output, input, op="sum"):
    """Rank r's output is the r-th of the equal parts (along dimension 0) of the summed inputs."""
    _outside_build("reduce_scatter_tensor")
    _need_local("reduce_scatter", input)
    _need_local("reduce_scatter", output)
    world = get_world_size()
    if len(input.shape) == 0 or input.shape[0] != output.shape[0] * world:
        raise InvalidArgumentError(
            f"[reduce_scatter] got input: {tuple(input.shape)}, output: "
            f"{tuple(output.shape)}; expected input.shape[0] == output.shape[0] * "
            f"{world}")
    with no_grad():
        whole = input.to_global(placement=_world(), sbp=_partial("reduce_scatter", op))
        output.copy_(whole.to_global(sbp=_C.sbp.split(0)).to_local())
    return output


def reduce_scatter(output, input_list, op="sum"):
    """Rank r's output is the sum over ranks of their input_list[r]."""
    _outside_build("reduce_scatter")
    _need_local("reduce_scatter", output)
    _need_list("reduce_scatter", "input_list", input_list)
    if len(input_list) != get_world_size():
        raise InvalidArgumentError(
            f"[reduce_scatter] got {len(input_list)} input tensors; expected one a "
            f"rank: {get_world_size()}")
    parts = [part.detach().reshape((1, *part.shape)) for part in input_list]
    with no_grad():
        joined = _C.cat(parts, dim=0)
        scattered = empty(1, *output.shape, dtype=output.dtype)
        reduce_scatter_tensor(scattered, joined, op)
        output.copy_(scattered[0])
    return output


def broadcast(tensor, src=0):
    """Replaces `tensor` on every rank by rank src's."""
    _outside_build("broadcast")
    _need_local("broadcast", tensor)
    _need_rank("broadcast", "src", src)
    # A local tensor made global under B takes the data of the placement's first rank.
    order = [src, *(rank for rank in range(get_world_size()) if rank != src)]
    with no_grad():
        whole = tensor.to_global(placement=_C.placement("cpu", ranks=order),
                                 sbp=_C.sbp.broadcast)
        tensor.copy_(whole.to_local())
    return tensor


def barrier():
    """Returns when every rank has called it."""
    _outside_build("barrier")
    all_reduce(zeros(1))


def send(tensor, dst):
    """Sends a tensor to rank dst, which calls recv with the same shape and dtype."""
    _outside_build("send")
    _need_local("send", tensor)
    _need_rank("send", "dst", dst)
    _C.send(tensor, dst)


def recv(tensor, src):
    """Fills `tensor` with what rank src sends; returns it."""
    _outside_build("recv")
    _need_local("recv", tensor)
    _need_rank("recv", "src", src)
    _C.recv(tensor, src)
    return tensor


__getattr__ = _getter("comm", globals())
