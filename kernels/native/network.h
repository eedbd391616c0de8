// Forward and backward passes of 16 (8, 4) networks at once, one a lane, on a tile of samples.
//
// Parameters are [n_parameters] vectors in the layout of kernels/network.py. Activations are [unit][sample] vectors, S samples a
// tile (8, or 1 for what is left of a batch). A block of J units × S samples keeps its sums in registers, so that each weight is loaded
// once a tile and each activation once every J units. Sums over samples and over units run in order whatever J and S are: a network's
// bits do not depend on how its batch was cut into tiles.
#pragma once
#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "vector.h"

enum Activation : int32_t { kIdentity, kRelu, kLeakyRelu, kErf, kTanh, kSquare };

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

// σ, and σ′ from σ(z) or, where that does not determine it, from z
template <class T, Activation A> struct Unit {
  static constexpr bool keeps_z = A == kErf || A == kSquare;
  static Vec<T> value(Vec<T> z, T slope) {
    if constexpr (A == kRelu) return positive_part(z);
    if constexpr (A == kLeakyRelu) return z > 0 ? z : z * slope;
    if constexpr (A == kErf) return erf<T>(z * T(0.70710678118654752440));
    if constexpr (A == kTanh) return tanh<T>(z);
    if constexpr (A == kSquare) return z * z;
    return z;
  }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> kept, T slope) {
    if constexpr (A == kRelu) return kept > 0 ? d : Vec<T>{};
    if constexpr (A == kLeakyRelu) return kept > 0 ? d : d * slope;
    if constexpr (A == kErf) return d * (T(0.79788456080286535588) * exp<T>(T(-0.5) * kept * kept));
    if constexpr (A == kTanh) return d * fma(-kept, kept, splat<T>(1));
    if constexpr (A == kSquare) return d * (2 * kept);
    return d;
  }
};

// The weights that some lane of a group has: of each layer the inputs of every unit, in order, and the units above that take it. A layer is
// `sparse` where leaving the others out is worth it (docs/performance.md); left-out terms are products with 0, so that results are the same.
struct Pattern {
  struct Lists {
    std::vector<int64_t> first, item;  // of unit j: item[first[j]] … item[first[j + 1] − 1]
    template <class Has> void fill(int64_t n, int64_t others, const Has& has) {
      first.assign(1, 0), item.clear();
      for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < others; i++)
          if (has(j, i)) item.push_back(i);
        first.push_back(int64_t(item.size()));
      }
    }
  };
  struct Layer {
    bool sparse = false;
    Lists inputs, above;  // by unit of the layer; by its input
  };
  std::vector<Layer> layers;

  // has(p): does any lane have parameter p?
  template <class Has> void fill(const NetworkSpec& net, const Has& has) {
    layers.resize(size_t(net.n_layers));
    int64_t offset = 0;
    for (int64_t l = 0; l < net.n_layers; l++) {
      const int64_t fan_in = net.widths[l], fan_out = net.widths[l + 1];
      Layer& layer = layers[size_t(l)];
      layer.inputs.fill(fan_out, fan_in, [&](int64_t j, int64_t i) { return has(offset + j * fan_in + i); });
      layer.above.fill(fan_in, fan_out, [&](int64_t i, int64_t j) { return has(offset + j * fan_in + i); });
      layer.sparse = double(layer.inputs.item.size()) <= kSparse * double(fan_in * fan_out);
      offset += fan_out * (fan_in + net.biases);
    }
  }
  static constexpr double kSparse = 0.75;
};

// What a tile leaves behind: each hidden layer's output, z where the derivative needs it, and the derivatives by z on the way back. Of blocks
// also σ(z), 1/√(variance + ε) of each layer's z, and the derivatives by the output.
template <class T> struct Workspace {
  std::vector<int64_t> unit;  // first unit of each layer in the arrays below
  Aligned<T> h, z, d, a, inverse, d_h;
  const Pattern* pattern = nullptr;  // null: every weight is there
  const Pattern::Layer* sparse(int64_t l) const { return pattern && pattern->layers[size_t(l)].sparse ? &pattern->layers[size_t(l)] : nullptr; }
  explicit Workspace(const NetworkSpec& net, bool backward) : h(0), z(0), d(0), a(0), inverse(0), d_h(0) {
    int64_t units = 0;
    for (int64_t l = 1; l <= net.n_layers; l++) {
      unit.push_back(units);
      units += net.widths[l];
    }
    h = Aligned<T>(units * kTile);
    if (backward && (net.activation == kErf || net.activation == kSquare || net.blocks())) z = Aligned<T>(units * kTile);
    if (backward) d = Aligned<T>(units * kTile);
    if (!net.blocks()) return;
    if (!backward) z = Aligned<T>(units * kTile);
    a = Aligned<T>(units * kTile);
    inverse = Aligned<T>(net.n_layers * kTile);
    if (backward) d_h = Aligned<T>(units * kTile);
  }
};

template <class T, Activation A> struct Blocks;

template <class T, Activation A> struct Passes {
  using V = Vec<T>;
  using U = Unit<T, A>;

  // What becomes of z[j][s], one sample of one unit: `finish(j, s, z)`.
  template <int S, bool Hidden, bool KeepZ> struct Store {
    V *h, *z;
    T slope;
    __attribute__((always_inline)) void operator()(int64_t j, int s, V sum) const {
      if constexpr (KeepZ) z[j * S + s] = sum;
      h[j * S + s] = Hidden ? U::value(sum, slope) : sum;
    }
  };

  // z[j][s] = b_j + Σ_i w_ji in_i for J units, sums in registers
  template <int J, int S, class In, class Finish>
  __attribute__((always_inline)) static void units(const In& in, int64_t fan_in, const V* w, const V* b, int64_t first, const Finish& finish) {
    V sum[J][S];
    for (int j = 0; j < J; j++)
      for (int s = 0; s < S; s++) sum[j][s] = b ? b[first + j] : V{};
    w += first * fan_in;
    for (int64_t i = 0; i < fan_in; i++) {
      V weight[J];
      for (int j = 0; j < J; j++) weight[j] = w[j * fan_in + i];
#pragma GCC unroll 8
      for (int s = 0; s < S; s++) {
        V x = in.template load<S>(i, s);
#pragma GCC unroll 8
        for (int j = 0; j < J; j++) sum[j][s] = fma(weight[j], x, sum[j][s]);
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < J; j++)
#pragma GCC unroll 8
      for (int s = 0; s < S; s++) finish(first + j, s, sum[j][s]);
  }

  // The same for F inputs, weights in registers and one sample after the other: no loop over inputs, and stores between sums instead of in
  // bursts. 3 - 6 % of a training step (docs/performance.md).
  template <int F, int S, class In, class Finish>
  __attribute__((always_inline)) static void few_inputs(const In& in, int64_t fan_out, const V* w, const V* b, const Finish& finish) {
    for (int64_t j = 0; j < fan_out; j++) {
      V weight[F];
      for (int i = 0; i < F; i++) weight[i] = w[j * F + i];
      const V bias = b ? b[j] : V{};
#pragma GCC unroll 8
      for (int s = 0; s < S; s++) {
        V sum = bias;
#pragma GCC unroll 8
        for (int i = 0; i < F; i++) sum = fma(weight[i], in.template load<S>(i, s), sum);
        finish(j, s, sum);
      }
    }
  }

  // The same over the inputs that each unit has.
  template <int S, class In, class Finish>
  static void sparse_layer(const Pattern::Lists& inputs, const In& in, int64_t fan_in, int64_t fan_out, const V* w, const V* b, const Finish& finish) {
    for (int64_t j = 0; j < fan_out; j++) {
      V sum[S];
      for (int s = 0; s < S; s++) sum[s] = b ? b[j] : V{};
      for (int64_t n = inputs.first[size_t(j)]; n < inputs.first[size_t(j) + 1]; n++) {
        const int64_t i = inputs.item[size_t(n)];
        const V weight = w[j * fan_in + i];
#pragma GCC unroll 8
        for (int s = 0; s < S; s++) sum[s] = fma(weight, in.template load<S>(i, s), sum[s]);
      }
#pragma GCC unroll 8
      for (int s = 0; s < S; s++) finish(j, s, sum[s]);
    }
  }

  template <int S, class In, class Finish>
  __attribute__((always_inline)) static void layer(const In& in, int64_t fan_in, int64_t fan_out, const V* w, const V* b, const Finish& finish,
                                                   const Pattern::Layer* sparse = nullptr) {
    if constexpr (S == kTile) {
      if (sparse) return sparse_layer<S>(sparse->inputs, in, fan_in, fan_out, w, b, finish);
      if (fan_in == 1) return few_inputs<1, S>(in, fan_out, w, b, finish);
      if (fan_in == 2) return few_inputs<2, S>(in, fan_out, w, b, finish);
      if (fan_in == 4) return few_inputs<4, S>(in, fan_out, w, b, finish);
      if (fan_in == 8) return few_inputs<8, S>(in, fan_out, w, b, finish);
    }
    constexpr int J = kUnits<S>;
    int64_t j = 0;
    for (; j + J <= fan_out; j += J) units<J, S>(in, fan_in, w, b, j, finish);
    for (; j < fan_out; j++) units<1, S>(in, fan_in, w, b, j, finish);
  }

  // One affine layer after the input `in`, with σ where it is hidden.
  template <int S, bool KeepZ, class In>
  static void affine(const NetworkSpec& net, int64_t l, const In& in, const V* p, Workspace<T>& work) {
    const int64_t fan_in = net.widths[l], fan_out = net.widths[l + 1];
    const V* bias = net.biases ? p + fan_in * fan_out : nullptr;
    V* h = work.h + work.unit[l] * S;
    V* z = KeepZ ? work.z + work.unit[l] * S : nullptr;
    const T slope = T(net.negative_slope);
    if (l + 1 < net.n_layers) layer<S>(in, fan_in, fan_out, p, bias, Store<S, true, KeepZ>{h, z, slope}, work.sparse(l));
    else layer<S>(in, fan_in, fan_out, p, bias, Store<S, false, false>{h, z, slope}, work.sparse(l));
  }

  // Activations of every layer; returns the outputs, [output][sample].
  template <int S, bool KeepZ, class In> static const V* forward(const NetworkSpec& net, const V* params, const In& in, Workspace<T>& work) {
    if (net.blocks()) return Blocks<T, A>::template forward<S>(net, params, in, work);
    affine<S, KeepZ>(net, 0, in, params, work);
    return upper_layers<S, KeepZ>(net, params + net.widths[1] * (net.widths[0] + net.biases), work);
  }

  // The same from the first hidden layer's activations on; `upper` are the parameters of the layers above it.
  template <int S, bool KeepZ> static const V* upper_layers(const NetworkSpec& net, const V* upper, Workspace<T>& work) {
    for (int64_t l = 1; l < net.n_layers; l++) {
      affine<S, KeepZ>(net, l, LaneInputs<T>{work.h + work.unit[l - 1] * S}, upper, work);
      upper += net.widths[l + 1] * (net.widths[l] + net.biases);
    }
    return work.h + work.unit[net.n_layers - 1] * S;
  }

  // Pre-activations of the first layer, [unit][sample]
  template <int S, class In> static void first_layer(const NetworkSpec& net, const V* params, const In& in, V* z) {
    const V* bias = net.biases ? params + net.widths[0] * net.widths[1] : nullptr;
    layer<S>(in, net.widths[0], net.widths[1], params, bias, [&](int64_t j, int s, V sum) __attribute__((always_inline)) { z[j * S + s] = sum; });
  }

  // Outputs on a path: the first layer is affine in its parameters, so that z(α) = z_A + α (z_B − z_A) needs no input and no weight. At α = 1 it
  // is z_B to the last bit.
  template <int S> static const V* between(const NetworkSpec& net, V alpha, const V* z_a, const V* z_b, const V* upper, Workspace<T>& work) {
    const bool hidden = net.n_layers > 1;
    const T slope = T(net.negative_slope);
    if (net.blocks()) return Blocks<T, A>::template between<S>(net, alpha, z_a, z_b, upper, work);
    for (int64_t i = 0; i < net.widths[1] * S; i++) {
      const V z = alpha == 1 ? z_b[i] : fma(alpha, z_b[i] - z_a[i], z_a[i]);
      work.h[i] = hidden ? U::value(z, slope) : z;
    }
    return upper_layers<S, false>(net, upper, work);
  }

  // The same for two layers and one output, at R alphas at a time (any α = 1 among them only if WithEnd): hidden units go from their register
  // straight into the output's sum.
  template <int S, int R, bool WithEnd>
  static void one_output(const NetworkSpec& net, const V* alphas, const V* z_a, const V* z_b, const V* upper, V (&out)[R][S]) {
    const int64_t units = net.widths[1], stride = units + net.biases;
    const T slope = T(net.negative_slope);
    V alpha[R], sum[R][S];
    for (int r = 0; r < R; r++) {
      alpha[r] = alphas[r];
      for (int s = 0; s < S; s++) sum[r][s] = net.biases ? upper[r * stride + units] : V{};
    }
    for (int64_t j = 0; j < units; j++) {
      V weight[R];
      for (int r = 0; r < R; r++) weight[r] = upper[r * stride + j];
#pragma GCC unroll 8
      for (int s = 0; s < S; s++) {
        const V start = z_a[j * S + s], end = z_b[j * S + s], change = end - start;
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          V z = fma(alpha[r], change, start);
          if constexpr (WithEnd) z = alpha[r] == 1 ? end : z;
          sum[r][s] = fma(weight[r], U::value(z, slope), sum[r][s]);
        }
      }
    }
    for (int r = 0; r < R; r++)
      for (int s = 0; s < S; s++) out[r][s] = sum[r][s];
  }

  // Adds the gradient by the weights [J][fan_in] and biases [J] of J units with derivatives d[J][S].
  template <int J, int S, class In> static void accumulate(const In& in, int64_t fan_in, const V (&d)[J][S], V* gw, V* gb) {
    if (gb)
      for (int j = 0; j < J; j++) {
        V sum = gb[j];
        for (int s = 0; s < S; s++) sum += d[j][s];
        gb[j] = sum;
      }
#pragma GCC unroll 2
    for (int64_t i = 0; i < fan_in; i++) {
      V sum[J];
      for (int j = 0; j < J; j++) sum[j] = gw[j * fan_in + i];
#pragma GCC unroll 8
      for (int s = 0; s < S; s++) {
        V x = in.template load<S>(i, s);
#pragma GCC unroll 8
        for (int j = 0; j < J; j++) sum[j] = fma(d[j][s], x, sum[j]);
      }
      for (int j = 0; j < J; j++) gw[j * fan_in + i] = sum[j];
    }
  }

  // J units of a hidden layer: d_j = σ′(z_j) Σ_k w_kj d_k over the units k above, then their gradients
  template <int J, int S, class In>
  static void units_back(const In& in, int64_t fan_in, int64_t above, int64_t stride, const V* w_above, const V* d_above, const V* kept, T slope, V* d_out,
                         V* gw, V* gb) {
    V d[J][S];
    for (int j = 0; j < J; j++)
      for (int s = 0; s < S; s++) d[j][s] = w_above[j] * d_above[s];
    for (int64_t k = 1; k < above; k++)
#pragma GCC unroll 8
      for (int j = 0; j < J; j++) {
        V weight = w_above[k * stride + j];
#pragma GCC unroll 8
        for (int s = 0; s < S; s++) d[j][s] = fma(weight, d_above[k * S + s], d[j][s]);
      }
    for (int j = 0; j < J; j++)
      for (int s = 0; s < S; s++) {
        d[j][s] = U::times_derivative(d[j][s], kept[j * S + s], slope);
        if (d_out) d_out[j * S + s] = d[j][s];
      }
    accumulate<J, S>(in, fan_in, d, gw, gb);
  }

  // The gradient of the weights that unit j has, and of its bias.
  template <class In>
  static void sparse_accumulate(const Pattern::Lists& inputs, int64_t j, const In& in, int64_t fan_in, const V (&d)[kTile], V* gw, V* gb) {
    if (gb) {
      V sum = gb[j];
      for (int s = 0; s < kTile; s++) sum += d[s];
      gb[j] = sum;
    }
    for (int64_t n = inputs.first[size_t(j)]; n < inputs.first[size_t(j) + 1]; n++) {
      const int64_t i = inputs.item[size_t(n)];
      V sum = gw[j * fan_in + i];
#pragma GCC unroll 8
      for (int s = 0; s < kTile; s++) sum = fma(d[s], in.template load<kTile>(i, s), sum);
      gw[j * fan_in + i] = sum;
    }
  }

  // layer_back where this layer or the one above leaves weights out (null: it has all)
  template <int S, class In>
  static void sparse_layer_back(const Pattern::Layer* own, const Pattern::Layer* next, const In& in, int64_t fan_in, int64_t units, int64_t above,
                                const V* w_above, const V* d_above, const V* kept, T slope, V* d_out, V* gw, V* gb) {
    for (int64_t j = 0; j < units; j++) {
      V d[1][S] = {};
      auto add = [&](int64_t k) __attribute__((always_inline)) {
        const V weight = w_above[k * units + j];
#pragma GCC unroll 8
        for (int s = 0; s < S; s++) d[0][s] = fma(weight, d_above[k * S + s], d[0][s]);
      };
      if (next)
        for (int64_t n = next->above.first[size_t(j)]; n < next->above.first[size_t(j) + 1]; n++) add(next->above.item[size_t(n)]);
      else
        for (int64_t k = 0; k < above; k++) add(k);
      for (int s = 0; s < S; s++) {
        d[0][s] = U::times_derivative(d[0][s], kept[j * S + s], slope);
        if (d_out) d_out[j * S + s] = d[0][s];
      }
      if (own) sparse_accumulate(own->inputs, j, in, fan_in, d[0], gw, gb);
      else accumulate<1, S>(in, fan_in, d, gw + j * fan_in, gb ? gb + j : nullptr);
    }
  }

  template <int S, class In>
  static void layer_back(const In& in, int64_t fan_in, int64_t units, int64_t above, const V* w_above, const V* d_above, const V* kept, T slope, V* d_out,
                         V* gw, V* gb, const Pattern::Layer* own = nullptr, const Pattern::Layer* next = nullptr) {
    if constexpr (S == kTile)
      if (own || next) return sparse_layer_back<S>(own, next, in, fan_in, units, above, w_above, d_above, kept, slope, d_out, gw, gb);
    constexpr int J = kUnits<S>;
    int64_t j = 0;
    for (; j + J <= units; j += J)
      units_back<J, S>(in, fan_in, above, units, w_above + j, d_above, kept + j * S, slope, d_out ? d_out + j * S : nullptr, gw + j * fan_in,
                       gb ? gb + j : nullptr);
    for (; j < units; j++)
      units_back<1, S>(in, fan_in, above, units, w_above + j, d_above, kept + j * S, slope, d_out ? d_out + j * S : nullptr, gw + j * fan_in,
                       gb ? gb + j : nullptr);
  }

  template <int S, class In>
  static void output_back(const In& in, int64_t fan_in, int64_t outputs, const V* d_out, V* gw, V* gb,
                          const Pattern::Layer* sparse = nullptr) {
    for (int64_t o = 0; o < outputs; o++) {
      V d[1][S];
      for (int s = 0; s < S; s++) d[0][s] = d_out[o * S + s];
      if constexpr (S == kTile)
        if (sparse) {
          sparse_accumulate(sparse->inputs, o, in, fan_in, d[0], gw, gb);
          continue;
        }
      accumulate<1, S>(in, fan_in, d, gw + o * fan_in, gb ? gb + o : nullptr);
    }
  }

  // Adds the tile's gradient to `gradient`, from the derivatives by the outputs d_out [output][sample], after forward().
  template <int S, class In>
  static void backward(const NetworkSpec& net, const V* params, const In& in, const V* d_out, Workspace<T>& work, V* gradient) {
    if (net.blocks()) return Blocks<T, A>::template backward<S>(net, params, in, d_out, work, gradient);
    int64_t offset = net.n_parameters();
    const V* d_above = d_out;
    for (int64_t l = net.n_layers - 1; l >= 0; l--) {
      int64_t fan_in = net.widths[l], fan_out = net.widths[l + 1];
      const V* w_above = params + offset;  // of layer l + 1
      offset -= fan_out * (fan_in + net.biases);
      V* gw = gradient + offset;
      V* gb = net.biases ? gw + fan_in * fan_out : nullptr;
      LaneInputs<T> below{l ? work.h + work.unit[l - 1] * S : nullptr};
      if (l + 1 == net.n_layers) {
        const Pattern::Layer* sparse = work.sparse(l);
        l ? output_back<S>(below, fan_in, fan_out, d_out, gw, gb, sparse) : output_back<S>(in, fan_in, fan_out, d_out, gw, gb, sparse);
        continue;
      }
      const V* kept = (U::keeps_z ? work.z : work.h) + work.unit[l] * S;
      V* d = work.d + work.unit[l] * S;
      int64_t above = net.widths[l + 2];
      T slope = T(net.negative_slope);
      const Pattern::Layer *own = work.sparse(l), *next = work.sparse(l + 1);
      if (l) layer_back<S>(below, fan_in, fan_out, above, w_above, d_above, kept, slope, d, gw, gb, own, next);
      else layer_back<S>(in, fan_in, fan_out, above, w_above, d_above, kept, slope, static_cast<V*>(nullptr), gw, gb, own, next);
      d_above = d;
    }
  }
};

#include "blocks.h"

// Calls f with the activation as a compile-time constant.
template <class F> auto with_activation(int32_t activation, F&& f) {
  switch (activation) {
    case kRelu: return f(std::integral_constant<Activation, kRelu>{});
    case kLeakyRelu: return f(std::integral_constant<Activation, kLeakyRelu>{});
    case kErf: return f(std::integral_constant<Activation, kErf>{});
    case kTanh: return f(std::integral_constant<Activation, kTanh>{});
    case kSquare: return f(std::integral_constant<Activation, kSquare>{});
    default: return f(std::integral_constant<Activation, kIdentity>{});
  }
}
