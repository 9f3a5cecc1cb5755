"""Distributed deep learning on global tensors: a placement says where, an SBP signature how.

    import oneflow_like as flow
    x = flow.randn(8, 512, placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
"""

import math

from . import _cpu  # noqa: F401  (before the extension, which loads BLAS)

try:
    from ._C import (Generator, InvalidArgumentError, OutOfMemoryError, OutOfRangeError, Size,
                     Tensor, TypeMismatchError, channels_last, channels_last_3d, contiguous_format,
                     default_generator, device, dtype, initial_seed, layout, manual_seed,
                     memory_format, placement, preserve_format, sbp, seed, strided)
except ModuleNotFoundError as error:
    if error.name != __name__ + "._C":
        raise
    raise ImportError(
        "oneflow_like is not built here: its extension module oneflow_like._C is missing; run "
        "./scripts/quickstart in the source tree, or `pip install .` and import it from "
        "outside the source tree") from None
except ImportError as error:
    # The extension's own error says what is wrong; nanobind's, which stands last, only that.
    if error.__cause__ is None:
        raise
    reason = str(error.__cause__).partition("\n")[0]  # without the place, which is no user's line
    raise ImportError(f"oneflow_like cannot start: {reason}") from None

from . import (_C, _tensor,  # noqa: F401  (the latter gives Tensor its Python methods)
               _conversion, autograd, comm, cuda, env, fft, linalg, nn, optim, random, special)
from . import _absent, _errors  # noqa: E402, F401
from ._conversion import get_default_device, get_device_of as get_device, set_default_device
from ._creation import (as_tensor, asarray, empty_permuted, empty_strided, from_dlpack, from_numpy,
                        frombuffer, tensor)
from ._dtypes import *  # noqa: F403
from ._dtypes import __all__ as _dtype_names
from ._functions import *  # noqa: F403
from ._functions import __all__ as _function_names
from ._classes import *  # noqa: F403
from ._classes import __all__ as _class_names
from ._histogram import histogramdd
from ._in_place import *  # noqa: F403
from ._in_place import __all__ as _in_place_names
from ._kinds import *  # noqa: F403
from ._kinds import __all__ as _kind_names
from ._printing import set_printoptions
from ._lowrank import *  # noqa: F403
from ._lowrank import __all__ as _lowrank_names
from ._products import *  # noqa: F403
from ._products import __all__ as _product_names
from ._random import get_rng_state, set_rng_state
from ._serialization import load, save
from ._shapes import broadcast_shapes
from ._values import *  # noqa: F403
from ._values import __all__ as _value_names
from .env import get_num_threads, set_num_threads, show_config
from .autograd import (enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled,
                       no_grad, set_grad_enabled)
from . import distributed  # noqa: E402  (after comm and env)
from . import _lifecycle, utils  # noqa: E402

_lifecycle.install()

float32 = float = _C.float32
float64 = double = _C.float64
float16 = half = _C.float16
bfloat16 = _C.bfloat16
float8_e4m3fn = _C.float8_e4m3fn
float8_e5m2 = _C.float8_e5m2
complex64 = cfloat = _C.complex64
complex128 = cdouble = _C.complex128
int32 = int = _C.int32
int64 = long = _C.int64
int16 = short = _C.int16
int8 = _C.int8
uint8 = _C.uint8
bool = _C.bool

e, inf, nan, pi, newaxis = math.e, math.inf, math.nan, math.pi, None

__version__ = getattr(_C, "__version__", "0.1.0")

__all__ = ["Generator", "InvalidArgumentError", "OutOfMemoryError", "OutOfRangeError", "Size",
           "Tensor", "TypeMismatchError", "as_tensor", "asarray", "autograd", "bfloat16", "bool",
           "broadcast_shapes", "channels_last", "channels_last_3d", "comm", "complex128",
           "complex64", "contiguous_format", "cuda", "default_generator", "device", "distributed",
           "dtype", "empty_permuted", "empty_strided", "enable_grad", "env", "fft", "float16",
           "float32", "float64", "float8_e4m3fn", "float8_e5m2", "from_dlpack", "from_numpy",
           "frombuffer", "get_default_device", "get_device", "get_rng_state", "histogramdd",
           "inference_mode", "initial_seed", "int16", "int32", "int64", "int8", "is_grad_enabled",
           "layout", "linalg", "load", "manual_seed", "memory_format", "nn", "no_grad", "optim",
           "placement", "preserve_format", "random", "save", "sbp", "seed", "set_default_device",
           "set_grad_enabled", "set_printoptions", "set_rng_state", "show_config", "special",
           "strided", "tensor", "uint8", "utils"]
__all__.extend(_function_names)
__all__ += ["e", "get_num_threads", "inf", "is_inference_mode_enabled", "nan", "newaxis", "pi",
            "set_num_threads"]
__all__.extend([*_class_names, *_in_place_names])
__all__.extend([*_kind_names, *_lowrank_names, *_product_names, *_value_names, *_dtype_names])

if hasattr(nn, "graph") and hasattr(nn.graph, "compile_world"):
    compile_world = nn.graph.compile_world
    __all__.append("compile_world")

_absent.mark(Tensor)
__getattr__ = _absent.getter("flow", globals())
