// Layers of masked networks, which leave out the weights that are masked in every network of a group. What is left out
// are products with 0, so that results are those of dense.h, bit for bit.
#pragma once
#include "spec.h"

// The weights that are there in some network of a group, as two lists a layer: for each unit the inputs that it takes,
// and for each input the units that take it. A layer is `sparse` where leaving the others out saves time
// (docs/performance.md).
struct Pattern {
  struct Lists {
    std::vector<int64_t> first;
    std::vector<int64_t> item;  // those of unit j are item[first[j]] … item[first[j + 1] − 1], ascending

    template <class Has> void fill(int64_t n, int64_t others, const Has& has) {
      first.assign(1, 0);
      item.clear();
      for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < others; i++)
          if (has(j, i)) item.push_back(i);
        first.push_back(int64_t(item.size()));
      }
    }
  };
  struct Layer {
    bool sparse = false;
    Lists inputs;  // of each unit of the layer
    Lists above;   // of each input of the layer: the units that take it
  };
  static constexpr double kSparse = 0.75;  // largest share of a layer's weights at which it is sparse
  std::vector<Layer> layers;

  // has(p): whether some network of the group has parameter p.
  template <class Has> void fill(const NetworkSpec& net, const Has& has) {
    layers.resize(size_t(net.n_layers));
    int64_t offset = 0;
    for (int64_t l = 0; l < net.n_layers; l++) {
      const int64_t fan_in = net.widths[l];
      const int64_t fan_out = net.widths[l + 1];
      Layer& layer = layers[size_t(l)];
      layer.inputs.fill(fan_out, fan_in, [&](int64_t j, int64_t i) { return has(offset + j * fan_in + i); });
      layer.above.fill(fan_in, fan_out, [&](int64_t i, int64_t j) { return has(offset + j * fan_in + i); });
      layer.sparse = double(layer.inputs.item.size()) <= kSparse * double(fan_in * fan_out);
      offset += net.layer_size(l);
    }
  }
};

template <class T, Activation A> struct Sparse {
  using V = Vec<T>;
  using U = Unit<T, A>;

  // Dense::layer, each unit over its own inputs.
  template <int S, class In, class Finish> static void layer(const Pattern::Lists& inputs, const In& in, int64_t fan_in,
                                                             int64_t fan_out, const V* w, const V* b,
                                                             const Finish& finish) {
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

  // Dense::deltas, each unit over those that take it.
  static void deltas(const Pattern::Lists& takers, int64_t units, const V* w_above, const V* d_above, const V* kept,
                     T slope, V* d) {
    for (int64_t j = 0; j < units; j++) {
      V sum[kTile] = {};
      for (int64_t n = takers.first[size_t(j)]; n < takers.first[size_t(j) + 1]; n++) {
        const int64_t k = takers.item[size_t(n)];
        const V weight = w_above[k * units + j];
#pragma GCC unroll 8
        for (int s = 0; s < kTile; s++) sum[s] = fma(weight, d_above[k * kTile + s], sum[s]);
      }
      for (int s = 0; s < kTile; s++) d[j * kTile + s] = U::times_derivative(sum[s], kept[j * kTile + s], slope);
    }
  }

  // Dense::add_gradient, each unit over its own inputs.
  template <class In> static void add_gradient(const Pattern::Lists& inputs, const In& in, int64_t fan_in,
                                               int64_t units, const V* d, V* gw, V* gb) {
    for (int64_t j = 0; j < units; j++, d += kTile, gw += fan_in) {
      if (gb)
        for (int s = 0; s < kTile; s++) gb[j] += d[s];
      for (int64_t n = inputs.first[size_t(j)]; n < inputs.first[size_t(j) + 1]; n++) {
        const int64_t i = inputs.item[size_t(n)];
        V sum = gw[i];
#pragma GCC unroll 8
        for (int s = 0; s < kTile; s++) sum = fma(d[s], in.template load<kTile>(i, s), sum);
        gw[i] = sum;
      }
    }
  }
};
