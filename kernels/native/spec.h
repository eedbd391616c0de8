// What a network is, and how a tile of its samples is read.
#pragma once
#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "activations.h"

struct NetworkSpec {  // mirrored by kernels/native/__init__.py
  int64_t n_layers;  // affine layers
  const int64_t* widths;  // [n_layers + 1]
  int32_t activation, biases, normalise, residual;
  double negative_slope;

  int64_t inputs() const { return widths[0]; }
  int64_t outputs() const { return widths[n_layers]; }
  bool blocks() const { return n_layers > 1 && (normalise || residual); }  // hidden layers that are more than σ(Wh + b): blocks.h
  bool skips(int64_t l) const { return residual && l > 0 && l + 1 < n_layers && widths[l] == widths[l + 1]; }  // layer l adds its input
  int64_t n_parameters() const {
    int64_t n = 0;
    for (int64_t l = 0; l < n_layers; l++) n += widths[l + 1] * (widths[l] + biases);
    return n;
  }
};

template <class T> struct Aligned {  // vectors on their natural boundary
  struct Free {
    void operator()(void* p) const { ::operator delete(p, std::align_val_t(64)); }
  };
  std::unique_ptr<Vec<T>[], Free> data;
  explicit Aligned(int64_t n = 0) : data(static_cast<Vec<T>*>(::operator new(size_t(std::max<int64_t>(n, 1)) * sizeof(Vec<T>), std::align_val_t(64)))) {
    std::memset(static_cast<void*>(data.get()), 0, size_t(std::max<int64_t>(n, 1)) * sizeof(Vec<T>));
  }
  operator Vec<T>*() const { return data.get(); }
};

constexpr int kTile = 8;
// units of a block: the sums of 2 × 8 fit 32 registers, those of 1 × 8 fit 16; a lone sample takes 8 units
#if defined(__AVX512F__) || defined(__aarch64__)
template <int S> constexpr int kUnits = S == 1 ? 8 : 2;
#else
template <int S> constexpr int kUnits = S == 1 ? 8 : 1;
#endif

// The inputs of a tile: one table row for every lane (scalars, [sample][input]), or a row per lane (vectors, [input][sample]).
template <class T> struct RowInputs {
  const T* x;
  int64_t n_inputs;
  template <int S> Vec<T> load(int64_t i, int s) const { return splat<T>(x[s * n_inputs + i]); }
};
template <class T> struct LaneInputs {
  const Vec<T>* x;
  template <int S> Vec<T> load(int64_t i, int s) const { return x[i * S + s]; }
};
