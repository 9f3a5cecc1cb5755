"""PyTorch's public functions on dense tensors, and why the other names are none of them."""

import inspect
import re

from calls import SPACES

# Names out of scope: the reason as docs/from_pytorch.md says it, and patterns of whole names.
OUT_OF_SCOPE = {
    "sparse tensors":
        r"(to_)?sparse_.*|to_(sparse|dense)|resize_as_sparse_|is_coalesced|coalesce|(c?col|crow|row)_"
        r"indices(_copy)?|(indices|values)(_copy)?|dense_dim|(ds|hs|hsp|sp|s)mm|(s|ss)paddmm|saddmm",
    "quantised tensors":
        r"(de|fake_)?quantize.*|quantized_.*|empty_quantized|qscheme|q_(per|scale|zero).*|int_repr|"
        r"fbgemm_.*|choose_qparams.*|fused_moving_avg.*|scaled_mm|(scaled_)?grouped_mm",
    "one device's or one library's own calls":
        r"cudnn_.*|miopen_.*|mkldnn_.*|to_mkldnn|cuda|xpu|ipu|mtia|is_vulkan_available|pin_memory|"
        r"is_pinned|record_stream|batch_norm_(stats|elemt|gather|backward|update).*|profiler_.*",
    "torch.distributed and shared memory": r"is_distributed|is_shared|share_memory_",
    "compilers, tracing, tools":
        r"compile|compiled_with_.*|import_ir_.*|parse_(ir|schema|type_comment)|merge_type_from_.*|"
        r"unify_type_list|sym_.*|while_loop|cond|vmap|fork|wait|handle_torch_function|"
        r"has_torch_function.*|boolean_dispatch|assert_int_or_pair|as_subclass|module_load|"
        r"classproperty|init_num_threads|reinforce|(is|get|set|clear|)_?autocast_.*|get_file_path|"
        r"get_device_module|prepare_multiprocessing_.*|typename|thread_safe_generator|hash_tensor",
    "undocumented parts of other functions":
        r"(rnn_(relu|tanh)|lstm|gru)(_cell)?|native_.*|convolution|conv_tbc|frobenius_norm|"
        r"nuclear_norm|grid_sampler.*|affine_grid_generator|embedding_renorm_|segment_reduce|"
        r"slice_inverse|.*_with_indices|norm_except_dim|feature_dropout_?|is_set_to|"
        r"to_padded_tensor|linear_cross_entropy|new|resize(_as)?|storage_type|"
        r"index",
    "functions that end in an error in PyTorch, which removed them":
        r"symeig",
    "complex numbers of half precision": r"chalf",
    "storages, and lazy conjugation":
        r"(untyped_)?storage|is_storage|const_data_ptr|set_|from_file|is_conj|is_neg|to_dlpack|"
        r"is_inference",
    "settings of another engine":
        r"(get|set)_(num_interop_threads|deterministic_debug_mode|float32_matmul_precision|"
        r"flush_denormal|warn_always|anomaly_enabled)|set_(flush_denormal|warn_always|default_tensor_type)|"
        r"is_(anomaly|warn|deterministic)_.*|are_deterministic_.*|use_deterministic_algorithms",
}
# Of torch and Tensor alone: linalg has functions of these names.
REMOVED = {"eig", "lstsq", "matrix_rank", "solve"}
CLASSES_IN_SCOPE = {"no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "finfo",
                    "iinfo", "device", "Generator", "Size"}


def reason_outside(row):
    space, name = row.split(".")
    if space in ("torch", "Tensor") and name in REMOVED:
        return "functions that end in an error in PyTorch, which removed them"
    if space not in ("torch", "Tensor", "F"):
        return ""
    return next((why for why, pattern in OUT_OF_SCOPE.items() if re.fullmatch(pattern, name)), "")


def names(torch):
    """{row: reason that it is out of scope, or ""} of all that PyTorch shows."""
    found = {}
    for space, path in SPACES.items():
        owner = torch
        for part in filter(None, path.split(".")):
            owner = getattr(owner, part)
        for name in dir(owner):
            value = getattr(owner, name, None)
            if name.startswith("_") or not callable(value):
                continue
            if inspect.isclass(value) or inspect.ismodule(value):
                if space != "torch" or name not in CLASSES_IN_SCOPE:
                    continue
            if not name[0].islower() and name not in CLASSES_IN_SCOPE:
                continue  # a class that dir() shows as a function
            found[f"{space}.{name}"] = reason_outside(f"{space}.{name}")
    return found
