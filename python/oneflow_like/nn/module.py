"""Module: parameters, buffers and sub-modules under names, as in torch."""

from collections import OrderedDict, namedtuple
from collections.abc import Mapping

from .. import _C
from .._C import InvalidArgumentError, TypeMismatchError
from .._conversion import sorted_arguments
from .._creation import dtype_from
from ..autograd import no_grad
from . import _hooks
from ._watch import Watched, note_writing, reading, refuse_in_build, touch
from .parameter import Parameter

_is_tracing = getattr(_C, "is_tracing", None)


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict returns."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()


def _describe(tensor):
    return f"flow.Size({list(tensor.shape)})"


_COMPLEX = (_C.complex64, _C.complex128)


def _is_complex(tensor):
    return tensor.dtype in _COMPLEX


def _converted(tensor, device, dtype):
    if _is_complex(tensor) and isinstance(dtype, _C.dtype) and dtype not in _COMPLEX:
        raise TypeMismatchError(
            f"[module.to] complex parameters do not fit: got {tensor.dtype.name} for "
            f"{dtype.name}; expected a complex dtype; float() and double() leave them "
            "as they are")
    if not (tensor.dtype.is_floating_point or _is_complex(tensor)):
        dtype = None
    return tensor.to(device, dtype)


def _indent(text):
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line for line in rest)])


class Module:
    """Base class of all neural-network modules.

    Not thread-safe: one thread at a time may call or change a module.
    """

    # A module that only holds others (ModuleList): it is never called, so its children's scope
    # is told by the module above it.
    _holds_only = False
    _stage = None  # the placement to which a compiled graph moves its inputs (GraphModule)

    def __init__(self):
        fields = self.__dict__
        fields["training"] = True
        fields["_parameters"] = Watched()
        fields["_buffers"] = Watched()
        fields["_non_persistent"] = set()
        fields["_modules"] = Watched()
        fields["_forward_pre_hooks"] = Watched()
        fields["_forward_hooks"] = Watched()
        fields["_backward_hooks"] = Watched()
        fields["_backward_pre_hooks"] = Watched()

    def forward(self, *_args, **_kwargs):
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required '
                                  '"forward" function')

    def __call__(self, *args, **kwargs):
        if _is_tracing is not None and _is_tracing():
            return self._traced_call(args, kwargs)
        return self._call(args, kwargs)

    def _call(self, args, kwargs):
        if (self._forward_pre_hooks or self._forward_hooks or self._backward_hooks
                or self._backward_pre_hooks):
            return _hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def _traced_call(self, args, kwargs):
        if reading.recorder is not None:
            reading.recorder.called(type(self).forward)
        for name, child in self._scopes():
            child.__dict__["_scope_name"] = name
        if self._stage is not None:
            from .graph import moved_to_stage
            args, kwargs = moved_to_stage((args, kwargs), self._stage)
        _C.push_scope(self.__dict__.get("_scope_name", type(self).__name__))
        try:
            return self._call(args, kwargs)
        finally:
            _C.pop_scope()

    def _scopes(self, prefix=""):
        """The modules called from here with their names relative to this one."""
        for name, child in self._modules.items():
            if child is None:
                continue
            if child._holds_only:
                yield from child._scopes(f"{prefix}{name}.")
            else:
                yield prefix + name, child

    # Attributes: parameters, buffers and modules live in their own tables.

    def __setattr__(self, name, value):
        fields = self.__dict__
        if "_parameters" not in fields and isinstance(value, (Parameter, Module)):
            raise AttributeError(f"cannot assign {type(value).__name__} '{name}' before "
                                 "Module.__init__() call; call super().__init__() first")
        if isinstance(value, Parameter):
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name)
            self.add_module(name, value)
        elif name in fields.get("_parameters", ()):
            if value is not None:
                raise TypeMismatchError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' "
                    "(nn.Parameter or None expected)")
            self._parameters[name] = None
        elif name in fields.get("_modules", ()):
            if value is not None:
                raise TypeMismatchError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' "
                    "(nn.Module or None expected)")
            self._modules[name] = None
        elif name in fields.get("_buffers", ()):
            if value is not None and not isinstance(value, _C.Tensor):
                raise TypeMismatchError(
                    f"cannot assign '{type(value).__name__}' object to buffer '{name}' "
                    "(Tensor or None required)")
            _refuse_symbolic(name, value)
            self._buffers[name] = value
        else:
            note_writing(self, name)
            object.__setattr__(self, name, value)

    def __getattr__(self, name):
        fields = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            if table in fields and name in fields[table]:
                return fields[table][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name):
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent.discard(name)
                return
        note_writing(self, name)
        object.__delattr__(self, name)

    def _forget(self, name):
        self.__dict__.pop(name, None)
        touch()
        for table in (self._parameters, self._buffers, self._modules):
            table.pop(name, None)
        self._non_persistent.discard(name)

    def __dir__(self):
        names = [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]
        return sorted(name for name in names if name.isidentifier())

    def _check_name(self, kind, name, table):
        if not isinstance(name, str):
            raise TypeMismatchError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f"{kind} name can't contain \".\", got: {name}")
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in table and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name, param):
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeMismatchError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(nn.Parameter or None required)")
        self._parameters[name] = param

    def register_buffer(self, name, tensor, persistent=True):
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, _C.Tensor):
            raise TypeMismatchError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(Tensor or None required)")
        _refuse_symbolic(name, tensor)
        self._buffers[name] = tensor
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def add_module(self, name, module):
        self._check_name("module", name, self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeMismatchError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module

    register_module = add_module

    # Walking.

    def children(self):
        for _, module in self.named_children():
            yield module

    def named_children(self):
        seen = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self):
        for _, module in self.named_modules():
            yield module

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, below, remove_duplicate)

    def _named_members(self, table, prefix, recurse, remove_duplicate):
        seen = set()
        modules = (self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
                   if recurse else [(prefix, self)])
        for path, module in modules:
            for name, value in getattr(module, table).items():
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target):
        module = self
        for name in filter(None, target.split(".")):
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = child
        return module

    # State.

    def state_dict(self, *, destination=None, prefix="", keep_vars=False):
        """Names to tensors that share the parameters' data (parameters themselves if keep_vars)."""
        out = OrderedDict() if destination is None else destination
        for name, value in self._parameters.items():
            if value is not None:
                out[prefix + name] = value if keep_vars else value.detach()
        for name, value in self._buffers.items():
            if value is not None and name not in self._non_persistent:
                out[prefix + name] = value if keep_vars else value.detach()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=out, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return out

    def load_state_dict(self, state_dict, strict=True):
        """Copies values into parameters and buffers. Nothing is changed when there is an error.

        A global parameter also takes a local tensor: the logical value, equal on all ranks.
        """
        refuse_in_build("load_state_dict", "it before or after the call")
        if not isinstance(state_dict, Mapping):
            raise TypeMismatchError(
                "[load_state_dict] got "
                f"{type(state_dict).__name__}; expected a dict of names and Tensors")
        own = self.state_dict(keep_vars=True)
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = []
        if strict and unexpected:
            names = ", ".join(f'"{name}"' for name in unexpected)
            problems.append(f"Unexpected key(s) in state_dict: {names}. ")
        if strict and missing:
            names = ", ".join(f'"{name}"' for name in missing)
            problems.append(f"Missing key(s) in state_dict: {names}. ")
        for name, target in own.items():
            if name in state_dict and not isinstance(state_dict[name], _C.Tensor):
                problems.append(f"{name}: got {type(state_dict[name]).__name__}; expected a "
                                "Tensor; flow.from_numpy(array) makes one. ")
            elif name in state_dict and tuple(state_dict[name].shape) != tuple(target.shape):
                problems.append(
                    f"size mismatch for {name}: copying a param with shape "
                    f"{_describe(state_dict[name])} from checkpoint, the shape in current model "
                    f"is {_describe(target)}.")
            elif name in state_dict and (_is_complex(state_dict[name])
                                         and not _is_complex(target)):
                problems.append(
                    f"{name}: complex values do not fit: got {state_dict[name].dtype.name} for "
                    f"{target.dtype.name}; expected real ones; use their .real.")
        if problems:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                               + "\n\t".join(problems))
        with no_grad():
            for name, target in own.items():
                if name in state_dict:
                    assign(target, state_dict[name])
        return IncompatibleKeys(missing, unexpected)

    def _apply(self, change):
        """Every parameter stands for change(itself) from now on; buffers are replaced.

        Parameters stay the objects that optimizers and lists hold; their gradients change alike.
        """
        refuse_in_build("module.to", "it before or after the call")
        tables = [table for module in self.modules()
                  for table in (module._parameters, module._buffers)]
        changed = {}  # id -> (tensor, its new value, its new gradient): made before any is set
        with no_grad():
            for tensor in (t for table in tables for t in table.values() if t is not None):
                if id(tensor) not in changed:
                    changed[id(tensor)] = (tensor, change(tensor), self._changed_grad(tensor,
                                                                                      change))
        for tensor, value, grad in changed.values():
            if isinstance(tensor, Parameter) and _C.value_id(value) != _C.value_id(tensor):
                tensor._become(value)
                tensor.grad = grad
        for table in tables:
            for name, tensor in table.items():
                if tensor is not None and not isinstance(tensor, Parameter):
                    table[name] = changed[id(tensor)][1]
        return self

    @staticmethod
    def _changed_grad(tensor, change):
        if not isinstance(tensor, Parameter):
            return None
        if not tensor.is_leaf:
            raise RuntimeError("[module.to] a parameter cannot be converted in place: got the "
                               f"result of {tensor.grad_fn}; expected a leaf; use "
                               "nn.Parameter(x.detach())")
        grad = tensor.grad
        if grad is None:
            return None
        grad = grad.detach()
        if tensor.is_global and grad.sbp != tensor.sbp:
            grad = grad.to_global(sbp=tensor.sbp)
        return change(grad)

    def to_global(self, placement=None, sbp=None):
        """Makes every parameter and buffer global, in place: optimizers stay bound.

        Local parameters and gradients take the values of the placement's first rank.
        """
        return self._apply(lambda tensor: to_global_value(tensor, placement, sbp))

    def to_local(self):
        """Makes every parameter and buffer the local part of itself, in place."""
        return self._apply(lambda tensor: tensor.to_local())

    def to(self, *args, **kwargs):
        """Converts floating and complex parameters, their gradients and buffers, in place:
        to(dtype), to(device, dtype) or to(tensor), each with non_blocking.

        `to(nn.graph.GraphModule)` gives the graph's view of the module (set_stage).
        """
        if args and isinstance(args[0], type) and args[0].__name__ == "GraphModule":
            from .graph import graph_module_of
            return graph_module_of(self)
        given = sorted_arguments(args, kwargs)
        other = given.get("other")
        dtype = other.dtype if other is not None else dtype_from(given.get("dtype"))
        if dtype is not None and not (dtype.is_floating_point or dtype in _COMPLEX):
            raise TypeMismatchError(
                "[module.to] nn.Module.to only accepts floating point or complex "
                f"dtypes: got {dtype.name}; expected for example flow.float32")
        return self._apply(lambda t: _converted(t, given.get("device"), dtype))

    def cpu(self):
        return self.to("cpu")

    def _to_floating(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.dtype.is_floating_point else t)

    def float(self):
        return self._to_floating(_C.float32)

    def double(self):
        return self._to_floating(_C.float64)

    def half(self):
        return self._to_floating(_C.float16)

    def bfloat16(self):
        return self._to_floating(_C.bfloat16)

    def apply(self, fn):
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode=True):
        if not isinstance(mode, bool):
            raise InvalidArgumentError("[train] training mode is expected to be boolean: got "
                                       f"{type(mode).__name__}; expected True or False")
        for module in self.modules():
            if module.training is not mode:
                touch()
                module.__dict__["training"] = mode
        return self

    def eval(self):
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        for param in self.parameters():
            param.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none=True):
        refuse_in_build("zero_grad", "nothing: gradients of a graph start at zero in every call")
        for param in self.parameters():
            clear_grad(param, set_to_none)

    # Hooks.

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """hook(module, args), or hook(module, args, kwargs), before forward: what it returns
        takes the place of the arguments."""
        return _hooks.add("register_forward_pre_hook", self._forward_pre_hooks,
                          _hooks.Hook(hook, with_kwargs), prepend)

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """hook(module, args, result), or hook(module, args, kwargs, result), after forward: what
        it returns takes the place of the result. With always_call after an error too."""
        return _hooks.add("register_forward_hook", self._forward_hooks,
                          _hooks.Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        """hook(module, grad_input, grad_output) once the gradients of the arguments are known:
        what it returns takes their place. Refused in graphs."""
        return _hooks.add("register_full_backward_hook", self._backward_hooks, _hooks.Hook(hook),
                          prepend)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """hook(module, grad_output) before the gradients go through the module: what it returns
        takes their place. Refused in graphs."""
        return _hooks.add("register_full_backward_pre_hook", self._backward_pre_hooks,
                          _hooks.Hook(hook), prepend)

    # Printing.

    def extra_repr(self):
        return ""

    def _get_name(self):
        return type(self).__name__

    def __repr__(self):
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        lines = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        body = extra + lines
        if not body:
            return self._get_name() + "()"
        if not lines and len(extra) == 1:
            return f"{self._get_name()}({extra[0]})"
        return f"{self._get_name()}(\n  " + "\n  ".join(body) + "\n)"


def _refuse_symbolic(name, value):
    if value is not None and value.is_symbolic:
        raise RuntimeError(f"[buffer] {name} was replaced inside build() of a graph, which would "
                           "happen once and not in every call: got a value of the graph; expected "
                           "a tensor with data; return the new value, and copy_() it after the "
                           "call")


def clear_grad(tensor, set_to_none):
    if tensor.grad is None:
        return
    if set_to_none:
        tensor.grad = None
    else:
        tensor.grad.zero_()


def to_global_value(tensor, placement, sbp):
    """A logical value under a layout: a local tensor counts as equal on all ranks."""
    if tensor.is_global:
        return tensor.to_global(placement=placement, sbp=sbp)
    if placement is None or sbp is None:
        raise InvalidArgumentError("[to_global] a local tensor needs both: got "
                                   f"placement={placement}, sbp={sbp}; expected for example "
                                   "placement=flow.placement.all('cpu'), sbp=flow.sbp.broadcast")
    whole = tensor.to_global(placement=placement, sbp=everywhere(placement))
    return whole.to_global(sbp=sbp)


def everywhere(placement):
    """Broadcast on every axis of a placement."""
    return [_C.sbp.broadcast] * len(placement.hierarchy)


def assign(target, source):
    """Copies a value into a tensor of the same shape, whatever their layouts. No gradient."""
    if target.is_global:
        source = to_global_value(source, target.placement, target.sbp)
    elif source.is_global:
        raise InvalidArgumentError(
            "[copy] target is local and the source is global; convert the source "
            "first, for example with .to_global(sbp=flow.sbp.broadcast).to_local()")
    target.copy_(source)
