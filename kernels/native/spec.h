// What a network is, how its vectors are stored, and how the inputs of a tile of samples are read.
#pragma once
#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "activations.h"

struct NetworkSpec {      // mirrored by kernels/native/structures.py
  int64_t n_layers;       // affine layers
  const int64_t* widths;  // [n_layers + 1], inputs first
  int32_t activation;     // an Activation
  int32_t biases;
  int32_t normalise;
  int32_t residual;
  double negative_slope;

  int64_t inputs() const { return widths[0]; }
  int64_t outputs() const { return widths[n_layers]; }

  // Parameters of layer l: weights [fan_out][fan_in], then biases [fan_out].
  int64_t layer_size(int64_t l) const { return widths[l + 1] * (widths[l] + biases); }

  int64_t n_parameters() const {
    int64_t n = 0;
    for (int64_t l = 0; l < n_layers; l++) n += layer_size(l);
    return n;
  }

  // Whether hidden layers are more than σ(Wh + b): then blocks.h computes them.
  bool blocks() const { return n_layers > 1 && (normalise || residual); }

  // Whether layer l adds its input to its output.
  bool skips(int64_t l) const { return residual && l > 0 && l + 1 < n_layers && widths[l] == widths[l + 1]; }
};

// An array of n vectors, zero at first, on boundaries of 64 bytes.
template <class T> struct Aligned {
  struct Free {
    void operator()(void* p) const { ::operator delete(p, std::align_val_t(64)); }
  };
  std::unique_ptr<Vec<T>[], Free> data;

  explicit Aligned(int64_t n = 0) {
    const size_t bytes = size_t(std::max<int64_t>(n, 1)) * sizeof(Vec<T>);
    data.reset(static_cast<Vec<T>*>(::operator new(bytes, std::align_val_t(64))));
    std::memset(static_cast<void*>(data.get()), 0, bytes);
  }
  operator Vec<T>*() const { return data.get(); }
};

// Samples of a tile; what is left of a batch goes one sample at a time.
constexpr int kTile = 8;

// A register block has the sums of kUnits units × kBlockSamples samples: of 32 registers 3 × 8, whose 11 loads are for
// 24 multiply-adds, of 16 3 × 4 with 7 for 12 (docs/performance.md). A lone sample takes 8 units. A block of a gradient
// has kGradientSums sums of kGradientUnits units.
template <int S> constexpr int kUnits = S == 1 ? 8 : 3;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
constexpr int kBlockSamples = 8;
constexpr int kGradientUnits = 4;
constexpr int kGradientSums = 16;
#else
constexpr int kRegisters = 16;
constexpr int kBlockSamples = 4;
constexpr int kGradientUnits = 2;
constexpr int kGradientSums = 8;
#endif

// Keeps a vector in its register: where there are 16, GCC would rather load it anew for each use, and loads bind.
template <class V> __attribute__((always_inline)) inline void hold(V& vector) {
#if defined(__x86_64__)
  if constexpr (kRegisters == 16) asm("" : "+x"(vector));
#endif
}

// Calls f(from) with from = 0, B, 2 B, … below S, as constants: samples of a tile of S, B at a time.
template <int S, int B, int From = 0, class F> __attribute__((always_inline)) inline void in_parts(const F& f) {
  f(std::integral_constant<int, From>{});
  if constexpr (From + B < S) in_parts<S, B, From + B>(f);
}

// Calls f(J, j) for units 0 … n − 1 in blocks of J (a constant) from unit j on: Most at a time, what is left two by
// two.
template <int Most, class F> __attribute__((always_inline)) inline void in_blocks(int64_t n, const F& f) {
  int64_t j = 0;
  for (; j + Most <= n && !(Most == 3 && n - j == 4); j += Most) f(std::integral_constant<int, Most>{}, j);
  if constexpr (Most > 2)
    for (; j + 2 <= n; j += 2) f(std::integral_constant<int, 2>{}, j);
  for (; j < n; j++) f(std::integral_constant<int, 1>{}, j);
}

// Inputs of a tile of S samples that all lanes share: rows of a table, scalars [sample][input]; F of them where that is
// known, else 0.
template <class T, int F = 0> struct RowInputs {
  const T* x;
  int64_t n_inputs;
  template <int S> Vec<T> load(int64_t i, int s) const { return splat<T>(x[s * (F ? F : n_inputs) + i]); }
  template <int N> RowInputs<T, N> of_width() const { return {x, n_inputs}; }
};

// Inputs of a tile of S samples that differ between lanes: vectors [input][sample].
template <class T> struct LaneInputs {
  const Vec<T>* x;
  template <int S> Vec<T> load(int64_t i, int s) const { return x[i * S + s]; }
  template <int N> LaneInputs of_width() const { return *this; }
};
