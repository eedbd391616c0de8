// Layers of a network, forward and back, on a tile of samples: a block of units × samples keeps its sums in registers,
// so that a weight is loaded once a tile (twice with 16 registers) and an activation once a block; gradients are summed
// in blocks of units × inputs. Loops over inputs and units are unrolled twice: GCC's own choice left a third of the
// multiply-adds of a wide layer unused (docs/performance.md).
//
// Names: w and b are a layer's weights [unit][input] and biases [unit] (null: none), gw and gb their gradients; d are
// derivatives of the loss by pre-activations z; in are a layer's inputs.
#pragma once
#include "sparse.h"

template <class T, Activation A> struct Dense {
  using V = Vec<T>;
  using U = Unit<T, A>;
  using Thin = Sparse<T, A>;

  // Samples of a block of J units: one unit leaves room for all.
  template <int J, int S> static constexpr int kSamples = std::min(S, J == 1 ? kTile : kBlockSamples);

  // finish(j, s, z) with z = b_j + Σ_i w_ji in_i for J units from unit `first` on and B samples from sample `from` on;
  // sums in registers.
  template <int J, int S, int B, class In, class Finish>
  __attribute__((always_inline)) static void units(const In& in, int64_t fan_in, const V* w, const V* b, int64_t first,
                                                   int from, const Finish& finish) {
    V sum[J][B];
    for (int j = 0; j < J; j++)
      for (int s = 0; s < B; s++) sum[j][s] = b ? b[first + j] : V{};
    w += first * fan_in;
#pragma GCC unroll 2
    for (int64_t i = 0; i < fan_in; i++) {
      V weight[J];
      for (int j = 0; j < J; j++) weight[j] = w[j * fan_in + i];
      for (int j = 0; j < J; j++) hold(weight[j]);
#pragma GCC unroll 8
      for (int s = 0; s < B; s++) {
        V x = in.template load<S>(i, from + s);
        hold(x);
#pragma GCC unroll 8
        for (int j = 0; j < J; j++) sum[j][s] = fma(weight[j], x, sum[j][s]);
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < J; j++)
#pragma GCC unroll 8
      for (int s = 0; s < B; s++) finish(first + j, from + s, sum[j][s]);
  }

  // The same for all units of a layer of F inputs, weights in registers and one sample after the other: no loop over
  // inputs, and stores between sums instead of in bursts. Saves 3 – 6 % of a training step (docs/performance.md). Eight
  // weights beside what is summed take more than 16 registers.
  template <int F, int S, class In, class Finish>
  __attribute__((always_inline)) static void few_inputs(const In& in, int64_t fan_out, const V* w, const V* b,
                                                        const Finish& finish) {
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
  __attribute__((always_inline)) static void layer(const In& in, int64_t fan_in, int64_t fan_out, const V* w,
                                                   const V* b, const Finish& finish,
                                                   const Pattern::Layer* sparse = nullptr) {
    if constexpr (S == kTile) {
      if (sparse) return Thin::template layer<S>(sparse->inputs, in, fan_in, fan_out, w, b, finish);
      if (fan_in == 1) return few_inputs<1, S>(in.template of_width<1>(), fan_out, w, b, finish);
      if (fan_in == 2) return few_inputs<2, S>(in.template of_width<2>(), fan_out, w, b, finish);
      if (fan_in == 4) return few_inputs<4, S>(in.template of_width<4>(), fan_out, w, b, finish);
      if (fan_in == 8 && kRegisters == 32) return few_inputs<8, S>(in.template of_width<8>(), fan_out, w, b, finish);
    }
    in_blocks<kUnits<S>>(fan_out, [&](auto count, int64_t first) __attribute__((always_inline)) {
      constexpr int J = decltype(count)::value;
      constexpr int B = kSamples<J, S>;
      in_parts<S, B>([&](auto from) __attribute__((always_inline)) {
        units<J, S, B>(in, fan_in, w, b, first, from, finish);
      });
    });
  }

  // d [unit][sample] of a hidden layer from d_above of the layer above: d_j = σ′(z_j) Σ_k w_kj d_k, for J units from
  // unit j on and B samples; kept, d_above and d begin at the first of the samples. Weights of unit k above begin at
  // w_above + k · units; kept: what σ′ is computed from (Unit), where d may stand.
  template <int J, int S, int B>
  __attribute__((always_inline)) static void unit_deltas(int64_t j, int64_t units, int64_t above, const V* w_above,
                                                         const V* d_above, const V* kept, T slope, V* d) {
    V sum[J][B];
    for (int q = 0; q < J; q++)
      for (int s = 0; s < B; s++) sum[q][s] = w_above[j + q] * d_above[s];
#pragma GCC unroll 2
    for (int64_t k = 1; k < above; k++) {
      V weight[J];
      for (int q = 0; q < J; q++) weight[q] = w_above[k * units + j + q];
      for (int q = 0; q < J; q++) hold(weight[q]);
#pragma GCC unroll 8
      for (int s = 0; s < B; s++) {
        V from = d_above[k * S + s];
        hold(from);
#pragma GCC unroll 8
        for (int q = 0; q < J; q++) sum[q][s] = fma(weight[q], from, sum[q][s]);
      }
    }
#pragma GCC unroll 8
    for (int q = 0; q < J; q++)
#pragma GCC unroll 8
      for (int s = 0; s < B; s++) d[(j + q) * S + s] = U::times_derivative(sum[q][s], kept[(j + q) * S + s], slope);
  }

  // The same for all units; next lists the weights of the layer above, null where all are there.
  template <int S> static void deltas(int64_t units, int64_t above, const V* w_above, const V* d_above, const V* kept,
                                      T slope, V* d, const Pattern::Layer* next) {
    if constexpr (S == kTile)
      if (next) return Thin::deltas(next->above, units, w_above, d_above, kept, slope, d);
    in_blocks<kUnits<S>>(units, [&](auto count, int64_t j) __attribute__((always_inline)) {
      constexpr int J = decltype(count)::value;
      constexpr int B = kSamples<J, S>;
      in_parts<S, B>([&](auto from) __attribute__((always_inline)) {
        unit_deltas<J, S, B>(j, units, above, w_above, d_above + from, kept + from, slope, d + from);
      });
    });
  }

  // Adds the gradient by the weights of J units and I inputs, and by the units' biases if gb is there, all sums in
  // registers. d, gw and gb begin at the first of the units.
  template <int J, int I, bool Biases, int S, class In>
  __attribute__((always_inline)) static void add_block(const In& in, int64_t first, int64_t fan_in, const V* d, V* gw,
                                                       V* gb) {
    V sum[J][I];
    V bias[J];
    for (int j = 0; j < J; j++) {
      for (int i = 0; i < I; i++) sum[j][i] = gw[j * fan_in + first + i];
      if constexpr (Biases) bias[j] = gb[j];
    }
#pragma GCC unroll 8
    for (int s = 0; s < S; s++) {
      if constexpr (kRegisters == 32) {
        V x[I];
        for (int i = 0; i < I; i++) x[i] = in.template load<S>(first + i, s);
#pragma GCC unroll 8
        for (int j = 0; j < J; j++) {
          const V delta = d[j * S + s];
#pragma GCC unroll 16
          for (int i = 0; i < I; i++) sum[j][i] = fma(delta, x[i], sum[j][i]);
          if constexpr (Biases) bias[j] += delta;
        }
      } else {  // inputs one after the other: J deltas are fewer
        V delta[J];
        for (int j = 0; j < J; j++) {
          delta[j] = d[j * S + s];
          hold(delta[j]);
          if constexpr (Biases) bias[j] += delta[j];
        }
#pragma GCC unroll 16
        for (int i = 0; i < I; i++) {
          V x = in.template load<S>(first + i, s);
          hold(x);
#pragma GCC unroll 8
          for (int j = 0; j < J; j++) sum[j][i] = fma(delta[j], x, sum[j][i]);
        }
      }
    }
    for (int j = 0; j < J; j++) {
      for (int i = 0; i < I; i++) gw[j * fan_in + first + i] = sum[j][i];
      if constexpr (Biases) gb[j] = bias[j];
    }
  }

  // The same for J units and all inputs.
  template <int J, int S, class In> static void add_units(const In& in, int64_t fan_in, const V* d, V* gw, V* gb) {
    int64_t i = 0;
    auto add = [&](auto count) __attribute__((always_inline)) {
      constexpr int I = decltype(count)::value;
      if (gb) {
        add_block<J, I, true, S>(in, i, fan_in, d, gw, gb);
      } else {
        add_block<J, I, false, S>(in, i, fan_in, d, gw, nullptr);
      }
      gb = nullptr;  // they are done
      i += I;
    };
    constexpr int I = kGradientSums / J;
    while (i + I <= fan_in) add(std::integral_constant<int, I>{});
    if constexpr (I > 4)
      while (i + 4 <= fan_in) add(std::integral_constant<int, 4>{});
    while (i + 2 <= fan_in) add(std::integral_constant<int, 2>{});
    while (i < fan_in) add(std::integral_constant<int, 1>{});
  }

  // The same for all units of a layer, from their d [unit][sample]; own lists the layer's weights, null where all are
  // there.
  template <int S, class In> static void add_gradient(const In& in, int64_t fan_in, int64_t units, const V* d, V* gw,
                                                      V* gb, const Pattern::Layer* own = nullptr) {
    if constexpr (S == kTile)
      if (own) return Thin::add_gradient(own->inputs, in, fan_in, units, d, gw, gb);
    auto add = [&](auto count, int64_t j) {
      add_units<decltype(count)::value, S>(in, fan_in, d + j * S, gw + j * fan_in, gb ? gb + j : nullptr);
    };
    if (fan_in <= 2) return in_blocks<2 * kGradientUnits>(units, add);
    in_blocks<kGradientUnits>(units, add);
  }
};
