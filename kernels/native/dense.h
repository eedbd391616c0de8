// Layers of a network, forward and back, on a tile of samples: a block of J units × S samples keeps its sums in registers, so that each
// weight is loaded once a tile and each activation once every J units.
//
// Names: w and b are a layer's weights [unit][input] and biases [unit] (null: none), gw and gb their gradients; d are derivatives of the
// loss by pre-activations z; in are a layer's inputs.
#pragma once
#include "sparse.h"

template <class T, Activation A> struct Dense {
  using V = Vec<T>;
  using U = Unit<T, A>;
  using Thin = Sparse<T, A>;

  // finish(j, s, z) with z = b_j + Σ_i w_ji in_i for J units from unit `first` on; sums in registers.
  template <int J, int S, class In, class Finish>
  __attribute__((always_inline)) static void units(const In& in, int64_t fan_in, const V* w, const V* b, int64_t first,
                                                   const Finish& finish) {
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

  // The same for all units of a layer of F inputs, weights in registers and one sample after the other: no loop over inputs, and stores
  // between sums instead of in bursts. Saves 3 – 6 % of a training step (docs/performance.md).
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

  // The same for all units of any layer; `sparse` lists the weights that are there, null where all are.
  template <int S, class In, class Finish>
  __attribute__((always_inline)) static void layer(const In& in, int64_t fan_in, int64_t fan_out, const V* w, const V* b,
                                                   const Finish& finish, const Pattern::Layer* sparse = nullptr) {
    if constexpr (S == kTile) {
      if (sparse) return Thin::template layer<S>(sparse->inputs, in, fan_in, fan_out, w, b, finish);
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

  // J units of a hidden layer: d_j = σ′(z_j) Σ_k w_kj d_k over the units k above, then their gradients. Weights of unit k above begin at
  // w_above + k · stride; kept: what σ′ is computed from (Unit); d_out: where d_j is left for the layer below, null for the first layer.
  template <int J, int S, class In>
  static void units_back(const In& in, int64_t fan_in, int64_t above, int64_t stride, const V* w_above, const V* d_above, const V* kept,
                         T slope, V* d_out, V* gw, V* gb) {
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

  // The same for all units of a hidden layer. own and next list the weights of this layer and the one above; null where all are there.
  template <int S, class In>
  static void layer_back(const In& in, int64_t fan_in, int64_t units, int64_t above, const V* w_above, const V* d_above, const V* kept,
                         T slope, V* d_out, V* gw, V* gb, const Pattern::Layer* own = nullptr, const Pattern::Layer* next = nullptr) {
    if constexpr (S == kTile)
      if (own || next) {
        return Thin::template layer_back<S>(own, next, in, fan_in, units, above, w_above, d_above, kept, slope, d_out, gw, gb);
      }
    auto back = [&](auto count, int64_t j) __attribute__((always_inline)) {
      V* d = d_out ? d_out + j * S : nullptr;
      V* gb_j = gb ? gb + j : nullptr;
      units_back<decltype(count)::value, S>(in, fan_in, above, units, w_above + j, d_above, kept + j * S, slope, d, gw + j * fan_in, gb_j);
    };
    constexpr int J = kUnits<S>;
    int64_t j = 0;
    for (; j + J <= units; j += J) back(std::integral_constant<int, J>{}, j);
    for (; j < units; j++) back(std::integral_constant<int, 1>{}, j);
  }

  // Gradients of the last layer, from the derivatives d_out [output][sample] by its outputs.
  template <int S, class In>
  static void output_back(const In& in, int64_t fan_in, int64_t outputs, const V* d_out, V* gw, V* gb,
                          const Pattern::Layer* sparse = nullptr) {
    for (int64_t o = 0; o < outputs; o++) {
      V d[1][S];
      for (int s = 0; s < S; s++) d[0][s] = d_out[o * S + s];
      if constexpr (S == kTile)
        if (sparse) {
          Thin::accumulate(sparse->inputs, o, in, fan_in, d[0], gw, gb);
          continue;
        }
      accumulate<1, S>(in, fan_in, d, gw + o * fan_in, gb ? gb + o : nullptr);
    }
  }
};
