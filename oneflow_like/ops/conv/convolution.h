// The three products that convolutions and their gradients are made of, and their sizes.
#pragma once

#include "oneflow_like/ops/conv/windows.h"

namespace ofl::ops {

// The operators conv (and conv_biased), conv_input and conv_weight: which of y = x * w is computed
// from the others.
enum class ConvPart { kOutput, kInput, kWeight };

// x: (images, groups * channels, in), w: (groups * filters, channels, kernel), y: (images,
// groups * filters, out). Operators with `grouped` have groups as an axis of its own.
struct ConvSizes {
  int spatial = 0;
  int64_t images = 1, groups = 1, channels = 1, filters = 1;
  Windows windows;
  int64_t input() const { return channels * windows.inputs(); }   // elements of a group's image
  int64_t output() const { return filters * windows.outputs(); }  // likewise of its result
  int64_t taps() const { return channels * windows.places(); }    // of a filter
  int64_t weight() const { return groups * filters * taps(); }
  bool empty() const {
    return images * groups * input() == 0 || images * groups * output() == 0 || weight() == 0;
  }
};

// Of operands that have passed inference.
ConvSizes SizesOfConv(ConvPart part, std::span<const TensorMeta> inputs,
                      std::span<const TensorMeta> outputs, const Attrs& attrs);

// Adds the library's kernels for a part to its operator, preferred over those added later. Does
// nothing in a build without the library.
void AddOneDnn(op::OpDefBuilder& op, ConvPart part);
// Adds those that serve every dtype of numbers.
void AddColumnProducts(op::OpDefBuilder& op, ConvPart part);

}  // namespace ofl::ops
