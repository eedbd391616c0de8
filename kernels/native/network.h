// Forward and backward passes of 16 (8, 4) networks at once, one a lane, on a tile of samples.
//
// Parameters are [n_parameters] vectors in the layout of kernels/network.py. Activations are [unit][sample] vectors, S
// samples a tile (8, or 1 for what is left of a batch). A block of units × samples keeps its sums in registers
// (dense.h). Sums over samples and over units run in order whatever a block's sizes are: a network's bits do not depend
// on how its batch was cut into tiles.
#pragma once
#include "dense.h"

// What a tile leaves behind, each [unit][sample] over the units of all layers.
template <class T> struct Workspace {
  std::vector<int64_t> unit;  // first unit of each layer in the arrays below
  Aligned<T> h;               // outputs of the layers; after backward() derivatives of the loss by z of hidden ones
  Aligned<T> z;               // their pre-activations, where the derivative needs them
  // of blocks (hidden layers that are more than σ(Wh + b)) also:
  Aligned<T> a;                      // σ(z)
  Aligned<T> d;                      // derivatives of the loss by z; others leave them in h
  Aligned<T> inverse;                // [layer][sample], 1/√(variance + ε) of the layer's z
  Aligned<T> d_h;                    // derivatives by h
  const Pattern* pattern = nullptr;  // null: every weight is there

  // The lists of layer l's weights where it is sparse, else null.
  const Pattern::Layer* sparse(int64_t l) const {
    return pattern && pattern->layers[size_t(l)].sparse ? &pattern->layers[size_t(l)] : nullptr;
  }

  // What σ′ of hidden layer l is computed from (Unit), in tiles of S samples.
  const Vec<T>* kept(int64_t l, int S, bool keeps_z) const { return (keeps_z ? z : h) + unit[size_t(l)] * S; }

  // backward: whether gradients are asked for.
  explicit Workspace(const NetworkSpec& net, bool backward) {
    int64_t units = 0;
    for (int64_t l = 1; l <= net.n_layers; l++) {
      unit.push_back(units);
      units += net.widths[l];
    }
    const int64_t size = units * kTile;
    const bool blocks = net.blocks();
    h = Aligned<T>(size);
    if (blocks || (backward && keeps_z(net.activation))) z = Aligned<T>(size);
    if (blocks) a = Aligned<T>(size);
    if (blocks) inverse = Aligned<T>(net.n_layers * kTile);
    if (blocks && backward) d = Aligned<T>(size);
    if (blocks && backward) d_h = Aligned<T>(size);
  }
};

// In which lanes α may be 1: there a path is at its end to the last bit.
enum End : char { kNoLane, kSomeLanes, kAllLanes };

template <class T, Activation A> struct Blocks;

template <class T, Activation A> struct Passes {
  using V = Vec<T>;
  using U = Unit<T, A>;
  using D = Dense<T, A>;

  // finish(j, s, z) of a layer: stores z where it is kept, and the output.
  template <int S, bool Hidden, bool KeepZ> struct Store {
    V* h;
    V* z;
    T slope;
    __attribute__((always_inline)) void operator()(int64_t j, int s, V sum) const {
      if constexpr (KeepZ) z[j * S + s] = sum;
      h[j * S + s] = Hidden ? U::value(sum, slope) : sum;
    }
  };

  // Layer l on the inputs `in`, with σ where it is hidden; its parameters begin at p.
  template <int S, bool KeepZ, class In>
  static void affine(const NetworkSpec& net, int64_t l, const In& in, const V* p, Workspace<T>& work) {
    const int64_t fan_in = net.widths[l];
    const int64_t fan_out = net.widths[l + 1];
    const V* bias = net.biases ? p + fan_in * fan_out : nullptr;
    V* h = work.h + work.unit[l] * S;
    V* z = KeepZ ? work.z + work.unit[l] * S : nullptr;
    const T slope = T(net.negative_slope);
    if (l + 1 < net.n_layers) {
      D::template layer<S>(in, fan_in, fan_out, p, bias, Store<S, true, KeepZ>{h, z, slope}, work.sparse(l));
    } else {
      D::template layer<S>(in, fan_in, fan_out, p, bias, Store<S, false, false>{h, z, slope}, work.sparse(l));
    }
  }

  // Computes the outputs of every layer and returns those of the last, [output][sample].
  template <int S, bool KeepZ, class In>
  static const V* forward(const NetworkSpec& net, const V* params, const In& in, Workspace<T>& work) {
    if (net.blocks()) return Blocks<T, A>::template forward<S>(net, params, in, work);
    affine<S, KeepZ>(net, 0, in, params, work);
    return upper_layers<S, KeepZ>(net, params + net.layer_size(0), work);
  }

  // The same from the first layer's outputs on; `upper` are the parameters of the layers above it.
  template <int S, bool KeepZ>
  static const V* upper_layers(const NetworkSpec& net, const V* upper, Workspace<T>& work) {
    for (int64_t l = 1; l < net.n_layers; l++) {
      affine<S, KeepZ>(net, l, LaneInputs<T>{work.h + work.unit[l - 1] * S}, upper, work);
      upper += net.layer_size(l);
    }
    return work.h + work.unit[net.n_layers - 1] * S;
  }

  // Pre-activations z [unit][sample] of the first layer.
  template <int S, class In> static void first_layer(const NetworkSpec& net, const V* params, const In& in, V* z) {
    const V* bias = net.biases ? params + net.widths[0] * net.widths[1] : nullptr;
    auto store = [&](int64_t j, int s, V sum) __attribute__((always_inline)) { z[j * S + s] = sum; };
    D::template layer<S>(in, net.widths[0], net.widths[1], params, bias, store);
  }

  // Outputs on a path: the first layer is affine in its parameters, so that z(α) = z_A + α (z_B − z_A) needs no input
  // and no weight. At α = 1 it is z_B to the last bit.
  template <int S> static const V* between(const NetworkSpec& net, V alpha, const V* z_a, const V* z_b, const V* upper,
                                           Workspace<T>& work) {
    const bool hidden = net.n_layers > 1;
    const T slope = T(net.negative_slope);
    if (net.blocks()) return Blocks<T, A>::template between<S>(net, alpha, z_a, z_b, upper, work);
    for (int64_t i = 0; i < net.widths[1] * S; i++) {
      const V z = alpha == 1 ? z_b[i] : fma(alpha, z_b[i] - z_a[i], z_a[i]);
      work.h[i] = hidden ? U::value(z, slope) : z;
    }
    return upper_layers<S, false>(net, upper, work);
  }

  // The same for two layers and one output, at R alphas at a time, from z_A, z_B − z_A and z_B: hidden units go from
  // their register straight into the output's sum.
  template <int S, int R, End E>
  __attribute__((always_inline)) static void one_output(const NetworkSpec& net, const V* alphas, const V* start,
                                                        const V* change, const V* end, const V* upper,
                                                        V (&out)[R][S]) {
    const int64_t units = net.widths[1];
    const int64_t stride = units + net.biases;
    const T slope = T(net.negative_slope);
    V alpha[R];
    V sum[R][S];
    for (int r = 0; r < R; r++) {
      alpha[r] = alphas[r];
      for (int s = 0; s < S; s++) sum[r][s] = net.biases ? upper[r * stride + units] : V{};
    }
    for (int64_t j = 0; j < units; j++) {
      V weight[R];
      for (int r = 0; r < R; r++) weight[r] = upper[r * stride + j];
#pragma GCC unroll 8
      for (int s = 0; s < S; s++)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          V z = E == kAllLanes ? end[j * S + s] : fma(alpha[r], change[j * S + s], start[j * S + s]);
          if constexpr (E == kSomeLanes) z = alpha[r] == 1 ? end[j * S + s] : z;
          sum[r][s] = fma(weight[r], U::value(z, slope), sum[r][s]);
        }
    }
    for (int r = 0; r < R; r++)
      for (int s = 0; s < S; s++) out[r][s] = sum[r][s];
  }

  // Adds the tile's gradient to `gradient`, from the derivatives by the outputs d_out [output][sample], after
  // forward().
  template <int S, class In> static void backward(const NetworkSpec& net, const V* params, const In& in, const V* d_out,
                                                  Workspace<T>& work, V* gradient) {
    if (net.blocks()) return Blocks<T, A>::template backward<S>(net, params, in, d_out, work, gradient);
    const int64_t last = net.n_layers - 1;
    const int64_t offset = net.n_parameters() - net.layer_size(last);
    add_gradient<S>(net, last, in, d_out, work, gradient + offset);
    hidden_backward<S>(net, last - 1, offset, params, in, d_out, work, gradient);
  }

  // The same for hidden layers l, l − 1, …, 0, from the derivatives d_above by the pre-activations of layer l + 1,
  // whose parameters begin at `offset`.
  template <int S, class In> static void hidden_backward(const NetworkSpec& net, int64_t l, int64_t offset,
                                                         const V* params, const In& in, const V* d_above,
                                                         Workspace<T>& work, V* gradient) {
    for (; l >= 0; l--) {
      V* d = work.h + work.unit[l] * S;  // in place: what this layer put out is no longer asked for
      D::template deltas<S>(net.widths[l + 1], net.widths[l + 2], params + offset, d_above, work.kept(l, S, U::keeps_z),
                            T(net.negative_slope), d, work.sparse(l + 1));
      offset -= net.layer_size(l);
      add_gradient<S>(net, l, in, d, work, gradient + offset);
      d_above = d;
    }
  }

  // Adds the gradient of layer l, which begins at g, from the derivatives d [unit][sample] by its pre-activations.
  template <int S, class In> static void add_gradient(const NetworkSpec& net, int64_t l, const In& in, const V* d,
                                                      const Workspace<T>& work, V* g) {
    const int64_t fan_in = net.widths[l];
    const int64_t fan_out = net.widths[l + 1];
    V* gb = net.biases ? g + fan_in * fan_out : nullptr;
    if (l == 0) return D::template add_gradient<S>(in, fan_in, fan_out, d, g, gb, work.sparse(l));
    D::template add_gradient<S>(LaneInputs<T>{work.h + work.unit[l - 1] * S}, fan_in, fan_out, d, g, gb,
                                work.sparse(l));
  }
};

#include "blocks.h"
