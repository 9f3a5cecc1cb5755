"""Names of PyTorch that are absent here: what the error says of them.

The names are those that scripts/parity/surface.py finds in PyTorch and leaves out, with its
reasons.
"""

import difflib

# reason -> where -> names
OUTSIDE = {
    "sparse tensors": {
        "flow":
            "ccol_indices_copy col_indices_copy crow_indices_copy dsmm hsmm hspmm indices_copy "
            "resize_as_sparse_ row_indices_copy saddmm smm sparse_bsc_tensor sparse_bsr_tensor "
            "sparse_compressed_tensor sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor "
            "spmm sspaddmm values_copy",
        "Tensor":
            "ccol_indices coalesce col_indices crow_indices dense_dim indices is_coalesced "
            "resize_as_sparse_ row_indices smm sparse_dim sparse_mask sparse_resize_ "
            "sparse_resize_and_clear_ sspaddmm to_dense to_sparse to_sparse_bsc to_sparse_bsr "
            "to_sparse_coo to_sparse_csc to_sparse_csr values",
    },
    "quantised tensors": {
        "flow":
            "choose_qparams_optimized dequantize empty_quantized "
            "fake_quantize_per_channel_affine fake_quantize_per_tensor_affine "
            "fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation "
            "fbgemm_linear_int8_weight fbgemm_linear_int8_weight_fp32_activation "
            "fbgemm_linear_quantize_weight fbgemm_pack_gemm_matrix_fp16 "
            "fbgemm_pack_quantized_matrix fused_moving_avg_obs_fake_quant int_repr "
            "q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale "
            "q_zero_point quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic "
            "quantized_batch_norm quantized_gru quantized_gru_cell quantized_lstm "
            "quantized_lstm_cell quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d "
            "quantized_rnn_relu_cell quantized_rnn_tanh_cell",
        "Tensor":
            "dequantize int_repr q_per_channel_axis q_per_channel_scales "
            "q_per_channel_zero_points q_scale q_zero_point qscheme",
        "nn.functional":
            "grouped_mm scaled_grouped_mm scaled_mm",
    },
    "one device's or one library's own calls": {
        "flow":
            "batch_norm_backward_elemt batch_norm_backward_reduce batch_norm_elemt "
            "batch_norm_gather_stats batch_norm_gather_stats_with_counts batch_norm_stats "
            "batch_norm_update_stats cudnn_affine_grid_generator cudnn_batch_norm "
            "cudnn_convolution cudnn_convolution_add_relu cudnn_convolution_relu "
            "cudnn_convolution_transpose cudnn_grid_sampler cudnn_is_acceptable "
            "is_vulkan_available miopen_batch_norm miopen_convolution "
            "miopen_convolution_add_relu miopen_convolution_relu miopen_convolution_transpose "
            "miopen_ctc_loss miopen_depthwise_convolution miopen_rnn mkldnn_adaptive_avg_pool2d "
            "mkldnn_convolution mkldnn_linear_backward_weights mkldnn_max_pool2d "
            "mkldnn_max_pool3d mkldnn_rnn_layer "
            "profiler_allow_cudagraph_cupti_lazy_reinit_cuda12",
        "Tensor":
            "ipu is_pinned mtia pin_memory record_stream to_mkldnn xpu",
    },
    "torch.distributed and shared memory": {
        "flow":
            "is_distributed",
        "Tensor":
            "is_distributed is_shared share_memory_",
    },
    "compilers, tracing, tools": {
        "flow":
            "autocast_decrement_nesting autocast_increment_nesting classproperty "
            "clear_autocast_cache compile compiled_with_cxx11_abi cond fork "
            "get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype "
            "get_autocast_ipu_dtype get_autocast_xla_dtype get_device_module get_file_path "
            "hash_tensor import_ir_module import_ir_module_from_buffer init_num_threads "
            "is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled "
            "is_autocast_ipu_enabled is_autocast_xla_enabled merge_type_from_type_comment "
            "parse_ir parse_schema parse_type_comment prepare_multiprocessing_environment "
            "set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled "
            "set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype "
            "set_autocast_ipu_dtype set_autocast_ipu_enabled set_autocast_xla_dtype "
            "set_autocast_xla_enabled sym_constrain_range sym_constrain_range_for_size "
            "sym_float sym_fresh_size sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum "
            "thread_safe_generator typename unify_type_list vmap wait while_loop",
        "Tensor":
            "as_subclass hash_tensor module_load reinforce",
        "nn.functional":
            "assert_int_or_pair boolean_dispatch handle_torch_function has_torch_function "
            "has_torch_function_unary has_torch_function_variadic",
    },
    "undocumented parts of other functions": {
        "flow":
            "embedding_renorm_ feature_dropout feature_dropout_ frobenius_norm gru gru_cell "
            "lstm lstm_cell native_batch_norm native_dropout native_group_norm "
            "native_layer_norm native_norm norm_except_dim nuclear_norm rnn_relu rnn_relu_cell "
            "rnn_tanh rnn_tanh_cell segment_reduce slice_inverse",
        "Tensor":
            "index is_set_to new resize resize_as slice_inverse storage_type "
            "to_padded_tensor",
        "nn.functional":
            "linear_cross_entropy",
    },
    "functions that end in an error in PyTorch, which removed them": {
        "flow":
            "eig lstsq matrix_rank solve symeig",
        "Tensor":
            "eig lstsq solve symeig",
    },
    "complex numbers of half precision": {
        "Tensor":
            "chalf",
    },
    "storages, and lazy conjugation": {
        "flow":
            "from_file is_inference is_storage to_dlpack",
        "Tensor":
            "const_data_ptr set_ storage untyped_storage",
    },
    "settings of another engine": {
        "flow":
            "are_deterministic_algorithms_enabled get_deterministic_debug_mode "
            "get_float32_matmul_precision get_num_interop_threads is_anomaly_check_nan_enabled "
            "is_anomaly_enabled is_deterministic_algorithms_warn_only_enabled "
            "is_warn_always_enabled set_anomaly_enabled set_default_tensor_type "
            "set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal "
            "set_num_interop_threads set_warn_always use_deterministic_algorithms",
    },
}
REASONS = {where: {name: why for why, spaces in OUTSIDE.items()
                   for name in spaces.get(where, "").split()}
           for where in ("flow", "Tensor", "nn.functional")}
_LONGEST = 200  # of a name that is repeated, and compared with others
_BY_LAYOUT = ("use global tensors: module.to_global(placement=..., sbp=flow.sbp.broadcast), and "
              "a batch split over the ranks")
# What users of PyTorch look for, and where it is.
_NO_CUDA = ("there are no kernels for CUDA: flow.cuda.is_available() is False; tensors lie on the "
            "CPU, and placement= says on which ranks")
_NOT_YET = "PyTorch's class is not here yet"
_BY_AXES = {f"{name}{n}d": f"{_NOT_YET}; use nn.functional.{function}"
            for n in (1, 2, 3)
            for name, function in (
                ("BatchNorm", "batch_norm"), ("InstanceNorm", "instance_norm"),
                ("ConstantPad", "pad"), ("ZeroPad", "pad"),
                ("CircularPad", "pad(mode='circular')"), ("ReflectionPad", "pad(mode='reflect')"),
                ("ReplicationPad", "pad(mode='replicate')"))}
_LAZY = {f"Lazy{name}": "there are no parameters of unknown sizes; give the layer its sizes"
         for name in ("Linear", *(f"{kind}{n}d" for n in (1, 2, 3) for kind in (
             "BatchNorm", "InstanceNorm", "Conv", "ConvTranspose")))}
_TRANSFORMERS = {name: f"{_NOT_YET}; write it of nn.Linear, nn.LayerNorm and "
                       "nn.functional.scaled_dot_product_attention, as examples/gpt does"
                 for name in ("Transformer", "TransformerDecoder", "TransformerDecoderLayer",
                              "TransformerEncoder", "TransformerEncoderLayer")}
ELSEWHERE = {
    "flow": {"jit": "use nn.Graph", "compile": "use nn.Graph", "fx": "use nn.Graph",
             "amp": "there is no automatic mixed precision; use module.to(flow.bfloat16)",
             "autocast": "there is no automatic mixed precision; use module.to(flow.bfloat16)",
             "func": "use flow.autograd.functional",
             "distributions": "draw by flow.normal, flow.bernoulli, flow.multinomial and their kin",
             "multiprocessing": "start ranks by oneflow-like-run",
             "vmap": "write the axis out: operators broadcast",
             "sparse": "tensors are dense", "quantization": "there are no quantised tensors",
             "float8_e4m3fnuz": "use float8_e4m3fn", "float8_e5m2fnuz": "use float8_e5m2",
             "uint16": "use int32", "uint32": "use int64", "uint64": "use int64"},
    "Tensor": {"storage": "use data_ptr(), numpy() or from_dlpack()",
               "untyped_storage": "use data_ptr(), numpy() or from_dlpack()",
               "set_": "use copy_() for values, or make a new tensor",
               "share_memory_": "processes of a job have memory of their own; use flow.comm",
               "names": "axes have no names", "redistribute": "use to_global(sbp=...)",
               "full_tensor": "use to_global(sbp=flow.sbp.broadcast).to_local()"},
    "autograd": {"graph": "there are no hooks on what is saved for backward, and no nodes to walk; "
                          "use utils.checkpoint to save memory, register_hook to see gradients",
                 "forward_ad": "there are no dual numbers; use autograd.functional.jvp",
                 "profiler": "use Python's profilers",
                 "Variable": "every tensor is one; use flow.tensor(..., requires_grad=True)",
                 "grad_mode": "use flow.no_grad, flow.enable_grad, flow.set_grad_enabled",
                 "anomaly_mode": "use autograd.detect_anomaly"},
    "autograd.function": {"InplaceFunction": "use Function and ctx.mark_dirty",
                          "NestedIOFunction": "use Function, with the parts of a list as arguments "
                                              "of their own"},
    "nn": {"DataParallel": _BY_LAYOUT, "parallel": _BY_LAYOUT,
           "SyncBatchNorm": "use nn.functional.batch_norm of global tensors: it counts all ranks",
           "attention": "use nn.functional.scaled_dot_product_attention",
           "modules": "use nn itself",
           "AdaptiveLogSoftmaxWithLoss": f"{_NOT_YET}; use nn.functional.log_softmax",
           "BCELoss": f"{_NOT_YET}; use nn.functional.binary_cross_entropy",
           "BCEWithLogitsLoss":
               f"{_NOT_YET}; use nn.functional.binary_cross_entropy_with_logits",
           "Buffer": "use module.register_buffer(name, tensor)",
           "Container": "use nn.Module",
           "CrossMapLRN2d": f"{_NOT_YET}; use nn.functional.local_response_norm",
           "Flatten": f"{_NOT_YET}; use x.flatten(1)",
           "Unflatten": f"{_NOT_YET}; use x.unflatten(dim, sizes)",
           "LinearCrossEntropyOptions": f"{_NOT_YET}; use nn.Linear and nn.CrossEntropyLoss",
           "LinearCrossEntropyLoss": f"{_NOT_YET}; use nn.Linear and nn.CrossEntropyLoss",
           "MultiheadAttention": f"{_NOT_YET}; use nn.functional.multi_head_attention_forward, or "
                                 "nn.functional.scaled_dot_product_attention",
           "NLLLoss2d": f"{_NOT_YET}; use nn.functional.nll_loss",
           "ParameterDict": f"{_NOT_YET}; use module.register_parameter(name, parameter)",
           "ParameterList": f"{_NOT_YET}; use module.register_parameter(name, parameter)",
           "Softmax2d": f"{_NOT_YET}; use nn.Softmax(-3)",
           "UninitializedBuffer": "there are no buffers of unknown sizes",
           "UninitializedParameter": "there are no parameters of unknown sizes",
           "UpsamplingBilinear2d": f"{_NOT_YET}; use nn.functional.interpolate(mode='bilinear')",
           "UpsamplingNearest2d": f"{_NOT_YET}; use nn.functional.interpolate",
           **_BY_AXES, **_LAZY, **_TRANSFORMERS},
    "optim": {name: f"{_NOT_YET}; use optim.AdamW, optim.Adam or optim.SGD"
              for name in ("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adamax", "LBFGS", "Muon",
                           "NAdam", "RAdam", "RMSprop", "Rprop", "SparseAdam")},
    "optim.lr_scheduler": {
        name: f"{_NOT_YET}; use optim.lr_scheduler.LambdaLR"
        for name in ("ChainedScheduler", "ConstantLR", "CosineAnnealingWarmRestarts", "CyclicLR",
                     "ExponentialLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR",
                     "PolynomialLR", "ReduceLROnPlateau", "SequentialLR")},
    "cuda": {name: _NO_CUDA
             for name in ("CUDAGraph", "Event", "Stream", "amp", "current_device",
                          "current_stream", "device", "empty_cache", "get_device_capability",
                          "get_device_name", "get_device_properties", "get_rng_state",
                          "init", "ipc_collect", "is_bf16_supported", "manual_seed",
                          "manual_seed_all", "max_memory_allocated", "mem_get_info",
                          "memory_allocated", "memory_reserved", "memory_summary", "nvtx",
                          "reset_peak_memory_stats", "set_device", "set_rng_state", "stream",
                          "synchronize")},
    "utils": {"data": "make batches of NumPy arrays or tensors; one DataLoader of PyTorch's gives "
                      "arrays by x.numpy()"},
    "nn.utils": {"clip_grad_norm": "use clip_grad_norm_"},
}


def _function_of(name):
    """The function that a layer or loss of PyTorch's without a module here is made of, or None."""
    from .nn import functional  # which needs this module
    plain = {n.replace("_", ""): n for n in functional.__all__ if not n.endswith("_")}
    found = plain.get(name.lower()) or plain.get(name.lower().removesuffix("loss"))
    return found if name[:1].isupper() else None


def why_absent(where, name, known):
    """What the AttributeError of `where`.`name` says; `known` are the names that are there."""
    if len(name) > _LONGEST:
        return f"[{where}] there is no such name: got one of {len(name)} characters"
    text = f"[{where}.{name}] there is no such name"
    advice = ELSEWHERE.get(where, {}).get(name)
    reason = REASONS.get(where, {}).get(name)
    if reason is not None:
        text += f": PyTorch's is left out with {reason}"
    if advice is not None:
        return f"{text}; {advice}"
    if reason is not None:
        return f"{text} (docs/from_pytorch.md)"
    function = _function_of(name) if where == "nn" else None
    if function is not None:
        return f"{text}; {_NOT_YET}; use nn.functional.{function}"
    near = difflib.get_close_matches(name, [n for n in known if not n.startswith("_")], 3, 0.7)
    return text + (f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "")


def getter(where, names):
    """A module's __getattr__, which is asked for what the module has not. `names`: its names."""
    def __getattr__(name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # Python asks for these itself
        raise AttributeError(why_absent(where, name, names))
    return __getattr__


class _Absent:
    """Stands in the class Tensor for a name of PyTorch's: whoever asks for it is told why there is
    none. Lookups of what there is cost nothing."""

    def __init__(self, name):
        self._name = name

    def __get__(self, instance, owner):
        raise AttributeError(why_absent("Tensor", self._name, ()))


def mark(cls):
    """Puts the reasons into a class that has none of the names."""
    for name in {**REASONS["Tensor"], **ELSEWHERE["Tensor"]}:
        if not hasattr(cls, name):
            setattr(cls, name, _Absent(name))
