// Forward and backward passes of 16 (8, 4) networks at once, one a lane, on a tile of samples.
//
// Parameters are [n_parameters] vectors in the layout of kernels/network.py. Activations are [unit][sample] vectors, S samples a
// tile (8, or 1 for what is left of a batch). A block of J units × S samples keeps its sums in registers, so that each weight is loaded
// once a tile and each activation once every J units. Sums over samples and over units run in order whatever J and S are: a network's
// bits do not depend on how its batch was cut into tiles.
#pragma once
#include "dense.h"

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
    if (backward && (keeps_z(net.activation) || net.blocks())) z = Aligned<T>(units * kTile);
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
  using D = Dense<T, A>;

  // What becomes of z[j][s], one sample of one unit: `finish(j, s, z)`.
  template <int S, bool Hidden, bool KeepZ> struct Store {
    V *h, *z;
    T slope;
    __attribute__((always_inline)) void operator()(int64_t j, int s, V sum) const {
      if constexpr (KeepZ) z[j * S + s] = sum;
      h[j * S + s] = Hidden ? U::value(sum, slope) : sum;
    }
  };

  // One affine layer after the input `in`, with σ where it is hidden.
  template <int S, bool KeepZ, class In>
  static void affine(const NetworkSpec& net, int64_t l, const In& in, const V* p, Workspace<T>& work) {
    const int64_t fan_in = net.widths[l], fan_out = net.widths[l + 1];
    const V* bias = net.biases ? p + fan_in * fan_out : nullptr;
    V* h = work.h + work.unit[l] * S;
    V* z = KeepZ ? work.z + work.unit[l] * S : nullptr;
    const T slope = T(net.negative_slope);
    if (l + 1 < net.n_layers) D::template layer<S>(in, fan_in, fan_out, p, bias, Store<S, true, KeepZ>{h, z, slope}, work.sparse(l));
    else D::template layer<S>(in, fan_in, fan_out, p, bias, Store<S, false, false>{h, z, slope}, work.sparse(l));
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
    D::template layer<S>(in, net.widths[0], net.widths[1], params, bias, [&](int64_t j, int s, V sum) __attribute__((always_inline)) { z[j * S + s] = sum; });
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
        l ? D::template output_back<S>(below, fan_in, fan_out, d_out, gw, gb, sparse) : D::template output_back<S>(in, fan_in, fan_out, d_out, gw, gb, sparse);
        continue;
      }
      const V* kept = (U::keeps_z ? work.z : work.h) + work.unit[l] * S;
      V* d = work.d + work.unit[l] * S;
      int64_t above = net.widths[l + 2];
      T slope = T(net.negative_slope);
      const Pattern::Layer *own = work.sparse(l), *next = work.sparse(l + 1);
      if (l) D::template layer_back<S>(below, fan_in, fan_out, above, w_above, d_above, kept, slope, d, gw, gb, own, next);
      else D::template layer_back<S>(in, fan_in, fan_out, above, w_above, d_above, kept, slope, static_cast<V*>(nullptr), gw, gb, own, next);
      d_above = d;
    }
  }
};

#include "blocks.h"
