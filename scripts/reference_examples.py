"""Arguments of examples that no sample of the registry gives as they stand, by function name.

In them, X is a float matrix, V a float vector, I a vector of row numbers.
"""

NAMES = {
    "X": "flow.tensor([[1.0, -2.0], [3.0, 4.0]])",
    "V": "flow.tensor([1.0, -2.0, 3.0])",
    "I": "flow.tensor([1, 0, 1])",
    "IMAGE": "flow.arange(8.0).reshape(1, 2, 4)",
}

EXAMPLES = {
    "add": "V, V, alpha=2", "sub": "V, V, alpha=2", "subtract": "V, 1.0", "pow": "V, 2",
    "pow_": "V, 2", "float_power": "V, 2", "float_power_": "V.double(), 2",
    "atleast_1d": "flow.tensor(3.0)", "atleast_2d": "V", "atleast_3d": "V",
    "as_strided_scatter": "X, flow.zeros(2), (2,), (1,)",
    "broadcast_to": "V, (2, 3)", "expand": "V, (2, 3)", "sum_to_size": "X, 1, 2",
    "clamp": "V, min=-1.0, max=2.0", "clamp_": "V, max=2.0", "clip": "V, -1.0, 2.0",
    "clip_": "V, -1.0, 2.0", "clamp_min": "V, 0.0", "clamp_min_": "V, 0.0", "clamp_max": "V, 2.0",
    "clamp_max_": "V, 2.0", "clip_min": "V, 0.0",
    "complex": "V, V", "cov": "X", "corrcoef": "X", "diff": "V", "heaviside": "V, flow.tensor(0.5)",
    "heaviside_": "V, flow.tensor(0.5)",
    "diagonal_scatter": "X, flow.zeros(2)", "select_scatter": "X, flow.zeros(2), 0, 1",
    "slice_scatter": "X, flow.zeros(1, 2), 0, 0, 1", "fill_diagonal_": "X, 0.0",
    "split": "V, 2", "split_with_sizes": "V, [1, 2]", "hsplit": "X, 2", "vsplit": "X, 2",
    "dsplit": "flow.ones(1, 1, 4), 2", "tensor_split": "V, 2", "swapaxes": "X, 0, 1",
    "unfold": "V, 0, 2, 1",
    "flow.nn.functional.unfold": "IMAGE.reshape(1, 1, 2, 4), (2, 2)", "unfold_copy": "V, 0, 2, 1",
    "view": "X, 4", "view_copy": "X, (4,)",
    "flow.Tensor.where": "V, V > 0, 0.0",
    "where": "V > 0, V, 0.0", "fill": "V, 7.0", "fill_": "V, 7.0",
    "max": "X, 1", "min": "X, 1", "median": "X, 1", "nanmedian": "X, 1",
    "scatter": "X, 0, flow.tensor([[0, 1]]), 9.0", "scatter_": "X, 0, flow.tensor([[0, 1]]), 9.0",
    "embedding": "I, X", "flow.embedding": "X, I", "flow.embedding_bag": "X, I, flow.tensor([0])",
    "embedding_bag": "I.reshape(1, 3), X",
    "zeros": "2, 3", "ones": "2, 3", "empty": "2, 3", "full": "(2,), 7.0", "rand": "3",
    "randn": "3",
    "randint": "10, (3,)", "zeros_like": "V", "ones_like": "V", "empty_like": "V",
    "full_like": "V, 7.0", "rand_like": "V", "randn_like": "V", "randint_like": "I, 10",
    "scalar_tensor": "3.0", "new_zeros": "V, (2,)", "new_ones": "V, (2,)", "new_empty": "V, (2,)",
    "new_full": "V, (2,), 7.0", "normal_": "V", "uniform_": "V",
    "bool": "V", "byte": "V.abs()", "char": "V", "short": "V", "int": "V", "long": "V", "half": "V",
    "float": "V", "double": "V", "bfloat16": "V", "cfloat": "V", "cdouble": "V",
    "batch_norm": "IMAGE, None, None, training=True", "instance_norm": "IMAGE",
    "flow.batch_norm": "IMAGE, None, None, None, None, True, 0.1, 1e-5, False",
    "flow.instance_norm": "IMAGE, None, None, None, None, True, 0.1, 1e-5, False",
    "flow.poisson_nll_loss": "V, V.abs(), True, False, 1e-8, 1",
    "flow.convolution": "IMAGE, flow.ones(2, 2, 3), None, [1], [0], [1], False, [0], 1",
    "group_norm": "IMAGE, 2", "layer_norm": "X, (2,)",
    "binary_cross_entropy_with_logits": "V, flow.tensor([1.0, 0.0, 1.0])",
    "hinge_embedding_loss": "V, flow.tensor([1.0, -1.0, 1.0])",
    "kl_div": "V, flow.tensor([0.2, 0.3, 0.5])", "margin_ranking_loss": "V, -V, flow.ones(3)",
    "poisson_nll_loss": "V, V.abs()", "triplet_margin_loss": "X, X + 1, X - 1",
    "matmul": "X, X", "flow.linalg.norm": "X", "flow.linalg.pinv": "X",
    "flow.linalg.matrix_rank": "X", "flow.linalg.matrix_power": "X, 2",
    "elu": "V", "elu_": "V", "relu6": "V", "selu": "V", "selu_": "V", "diagonal": "X",
}
_SQUARE, _CUBE = "flow.ones(1, 1, 4, 4)", "flow.ones(1, 1, 2, 2, 2)"
EXAMPLES |= {
    "conv2d": f"{_SQUARE}, flow.ones(2, 1, 3, 3)", "conv3d": f"{_CUBE}, flow.ones(2, 1, 2, 2, 2)",
    "conv_transpose2d": "flow.ones(1, 1, 2, 2), flow.ones(1, 1, 2, 2), stride=2",
    "conv_transpose3d": f"{_CUBE}, flow.ones(1, 1, 1, 1, 1)",
    "grid_sampler": f"{_SQUARE}, flow.zeros(1, 1, 1, 2), 0, 0, False",
    "grid_sampler_2d": f"{_SQUARE}, flow.zeros(1, 1, 1, 2), 0, 0, False",
    "grid_sampler_3d": f"{_CUBE}, flow.zeros(1, 1, 1, 1, 3), 0, 0, False",
    "fold": "flow.ones(1, 4, 1), (2, 2), (2, 2)",
    "upsample_nearest": "IMAGE, 2", "upsample_bilinear": f"{_SQUARE}, (2, 2)",
    "lp_pool2d": f"{_SQUARE}, 2, 2", "lp_pool3d": f"{_CUBE}, 2, 2",
    "avg_pool3d": f"{_CUBE}, 2", "adaptive_avg_pool3d": f"{_CUBE}, 1",
}
EXAMPLES |= {
    "flow.bernoulli": "V.abs() / 4", "bernoulli": "V, 0.5", "multinomial": "V.abs(), 2",
    "flow.normal": "0.0, 1.0, (3,)", "poisson": "V.abs()", "randperm": "4", "cauchy_": "V",
    "exponential_": "V", "geometric_": "V, 0.5", "log_normal_": "V", "random_": "V, 10",
    "flow.nn.functional.dropout": "V", "flow.nn.functional.alpha_dropout": "V",
    "flow.nn.functional.feature_alpha_dropout": "X",
}
_STEPS, _STATE = "flow.ones(2, 1, 3)", "flow.zeros(1, 1, 2)"
_LAST = "False, 1, 0.0, False, False, False"
for _name, _gates in (("gru", 3), ("rnn_relu", 1), ("rnn_tanh", 1)):
    EXAMPLES[_name] = (f"{_STEPS}, {_STATE}, [flow.ones({2 * _gates}, 3), "
                       f"flow.ones({2 * _gates}, 2)], {_LAST}")
EXAMPLES["lstm"] = (f"{_STEPS}, [{_STATE}, {_STATE}], [flow.ones(8, 3), flow.ones(8, 2)], {_LAST}")
EXAMPLES["lstm_cell"] = ("flow.ones(1, 3), [flow.zeros(1, 2), flow.zeros(1, 2)], flow.ones(8, 3), "
                         "flow.ones(8, 2)")
for _name in ("max_pool3d", "max_pool3d_with_indices"):
    EXAMPLES[_name] = f"{_CUBE}, 2"
for _name in ("adaptive_max_pool3d", "adaptive_max_pool3d_with_indices"):
    EXAMPLES[_name] = f"{_CUBE}, 1"
for _name in ("fractional_max_pool2d", "fractional_max_pool2d_with_indices"):
    EXAMPLES[_name] = f"{_SQUARE}, 2, output_size=1"
for _name in ("fractional_max_pool3d", "fractional_max_pool3d_with_indices"):
    EXAMPLES[_name] = f"{_CUBE}, 1, output_size=1"
for _name in ("chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v",
              "chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he",
              "laguerre_polynomial_l", "legendre_polynomial_p"):
    EXAMPLES[_name] = "V, 2"
    EXAMPLES[f"shifted_{_name}"] = "V, 2"
