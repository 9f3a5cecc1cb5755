"""PyTorch's public functions on dense tensors, and why the other names are none of them."""

import inspect
import re

from calls import SPACES

# Names that are out of scope: a pattern, and the reason as docs/from_pytorch.md says it.
OUT_OF_SCOPE = [
    (r"sparse|coalesce|_indices|^values$|values_copy|indices_copy|^indices$|dense_dim|to_dense|"
     r"^(dsmm|hsmm|hspmm|spmm|smm|saddmm|sspaddmm)$|resize_as_sparse_", "sparse tensors"),
    (r"quant|qscheme|^q_|int_repr|fbgemm|choose_qparams|fused_moving_avg|wrapped_|scaled_(grouped_)?"
     r"mm|^grouped_mm$", "quantised tensors"),
    (r"cudnn|miopen|mkldnn|cuda|xpu|vulkan|ipu|^mtia$|pin_memory|is_pinned|record_stream|"
     r"batch_norm_(stats|elemt|gather|backward|update)", "one device's or one library's own calls"),
    (r"distributed|is_shared|share_memory_", "torch.distributed and shared memory"),
    (r"^(compile|compiled_with_cxx11_abi|import_ir_module.*|parse_(ir|schema|type_comment)|"
     r"merge_type_from_type_comment|unify_type_list|sym_.*|while_loop|cond|vmap|fork|wait|"
     r"handle_torch_function|has_torch_function.*|boolean_dispatch|assert_int_or_pair|"
     r"as_subclass|module_load|classproperty|init_num_threads|reinforce|"
     r"(is|get|set|clear)_?autocast.*|autocast.*|get_file_path|get_device_module|"
     r"prepare_multiprocessing_environment|typename|profiler.*|thread_safe_generator|mode|"
     r"_.*)$", "compilers, tracing, tools"),
    (r"^(_copy|.*_copy)$", "functional twins of views that compilers use"),
    (r"^(rnn_|lstm$|gru$|lstm_cell|gru_cell|rnn|native_|batch_norm_|convolution$|conv_tbc|"
     r"frobenius_norm|nuclear_norm|unsafe_|grid_sampler|affine_grid_generator|hash_tensor|"
     r"embedding_renorm_|segment_reduce|slice_inverse|.*_with_indices$|norm_except_dim|"
     r"feature_dropout|constant_pad_nd|is_same_size|is_set_to|alias_copy|index_put_impl|"
     r"linear_cross_entropy|multi_head_attention_forward|to_padded_tensor)",
     "undocumented parts of other functions"),
    (r"^(symeig|eig|lstsq|matrix_rank|solve|triangular_solve|cholesky_ex|range|chain_matmul|"
     r"set_default_tensor_type|lu_unpack_|storage_type|new|resize|resize_as|chalf|"
     r"upsample.*|is_nonzero_|type_|map_|map2_|apply_|dtype|lobpcg|svd_lowrank|pca_lowrank)$",
     "deprecated, or removed from PyTorch"),
    (r"^(storage|untyped_storage|is_storage|const_data_ptr|set_|share.*|from_file|is_conj|is_neg|"
     r"to_dlpack|is_inference.*|hessian)$", "storages, and lazy conjugation"),
    (r"^(get|set|is|are|use)_(deterministic|num_(interop_)?threads|default_device|flush_denormal|"
     r"float32_matmul_precision|warn_always|printoptions|anomaly|vulkan).*$",
     "settings that have another form here"),
    (r"^(is_(grad_enabled|warn.*|deterministic.*|anomaly.*)|are_deterministic.*)$",
     "settings that have another form here"),
]
CLASSES_IN_SCOPE = {"no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "finfo",
                    "iinfo", "device", "Generator", "Size"}


def reason_outside(name):
    return next((why for pattern, why in OUT_OF_SCOPE if re.search(pattern, name)), "")


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
                continue
            found[f"{space}.{name}"] = reason_outside(name)
    return found
