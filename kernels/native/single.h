// Training one network at a time: the lanes of a vector are its units. Its weights, their gradient and a tile of
// samples stay in the first-level cache, where as many networks as a vector has lanes (trainer.h) stream theirs from
// the second for every tile: worth it for wide layers. A network's bits are the same in both layouts.
//
// Parameters of hidden layers are weights [input][unit], then biases; those of the last layer are as in
// kernels/network.py. Activations are [sample][unit].
#pragma once
#include <numeric>

#include "factored.h"
#include "products.h"
#include "steps.h"

namespace {

// The columns of `rows` [n_rows][n_columns] as rows of `to`; both numbers are multiples of a vector's lanes.
template <class T> void turn(const T* rows, int64_t n_rows, int64_t n_columns, T* to) {
  constexpr int L = kLanes<T>;
  for (int64_t r = 0; r < n_rows; r += L)
    for (int64_t c = 0; c < n_columns; c += L) {
      Vec<T> column[L];
      columns_of(rows + r * n_columns + c, n_columns, column);
      for (int i = 0; i < L; i++) std::memcpy(to + (c + i) * n_rows + r, &column[i], sizeof column[i]);
    }
}

template <class T, Activation A> struct Single : Networks<T> {
  using V = Vec<T>;
  using U = Unit<T, A>;
  using P = Products<T>;
  using Base = Networks<T>;
  using Base::spec, Base::net, Base::network, Base::loss, Base::n_parameters;
  static constexpr int L = kLanes<T>;
  static constexpr int kMostVectors = 8;
  static constexpr int kSamples = kMostVectors * L;  // of a tile, at most

  struct Hidden {
    int64_t fan_in;
    int64_t units;
    int64_t vectors;  // of the units
    int64_t first;    // vector of the parameters
    Aligned<T> h;     // [sample][unit] what the layer puts out, then derivatives of the loss by its z
    Aligned<T> z;     // its pre-activations, where the derivative needs them
    Aligned<T> back;  // [unit][input] its weights, but for the first layer

    Hidden(int64_t fan_in, int64_t units, int64_t first, bool is_first)
        : fan_in(fan_in),
          units(units),
          vectors(units / L),
          first(first),
          h(kSamples * vectors),
          z(U::keeps_z ? kSamples * vectors : 0),
          back(is_first ? 0 : fan_in * vectors) {}
  };
  std::vector<Hidden> layers;
  int64_t last;  // vector of the last layer's parameters
  int64_t n_vectors;
  Aligned<T> params;
  Aligned<T> gradient;  // of the step's mean loss
  Aligned<T> first;     // SGD's velocity or Adam's first moment
  Aligned<T> second;    // Adam's second moment
  Aligned<T> moves;     // 1, where networks stop early
  Aligned<T> x;         // [sample][input] of a batch
  Aligned<T> y;         // [label][sample], in rows of a tile's vectors; so are out and e
  Aligned<T> out;       // [output][sample]
  Aligned<T> e;         // [output][sample] derivatives of the loss by the outputs
  Aligned<T> sums;      // [sample][unit] Σ w d, where σ′ is yet to be multiplied with them
  Aligned<T> zero;      // a row of 0, for the biases of a network without

  // Whether a network is trained so: a question of its architecture and settings, and not of its company. It pays from
  // products of 32 inputs and 32 units on, whose weights in all lanes would be more than a first-level cache holds, in
  // batches of more than 16, since weights are transposed once a step, and with vectors of 8 floats or more
  // (docs/performance.md). What few networks ask for is left to trainer.h.
  static bool fits(const TrainSpec& spec) {
    constexpr int64_t kWide = 32;
    const NetworkSpec& net = spec.net;
    bool wide = kVectorBytes >= 32 && (net.n_layers > 2 || (net.n_layers == 2 && net.inputs() >= kWide));
    for (int64_t l = 1; l < net.n_layers; l++) wide &= net.widths[l] >= kWide && net.widths[l] % L == 0;
    const bool alike = !spec.mask && !spec.trainable && !spec.tied && !spec.rates && std::isinf(spec.clip_norm);
    const bool table = spec.sampling != kOnline && spec.batch_size > 16;
    return wide && alike && table && !net.blocks() && !Factored<T, A>::fits(net);
  }

  explicit Single(const TrainSpec& spec) : Base(spec) {
    int64_t vectors = 0;
    int64_t widest = 0;
    for (int64_t l = 0; l + 1 < net.n_layers; l++) {
      const Hidden& layer = layers.emplace_back(net.widths[l], net.widths[l + 1], vectors, l == 0);
      vectors += (layer.fan_in + net.biases) * layer.vectors;
      widest = std::max(widest, layer.vectors);
    }
    last = vectors;
    n_vectors = last + (net.layer_size(net.n_layers - 1) + L - 1) / L;
    params = Aligned<T>(n_vectors);
    gradient = Aligned<T>(n_vectors);
    first = Aligned<T>(n_vectors);
    second = Aligned<T>(spec.optimizer >= kAdam ? n_vectors : 0);
    moves = Aligned<T>(std::isfinite(spec.stop_below) ? n_vectors : 0);
    for (int64_t v = 0; std::isfinite(spec.stop_below) && v < n_vectors; v++) moves[v] = splat<T>(1);
    x = Aligned<T>((kSamples * net.inputs() + L - 1) / L);
    y = Aligned<T>(net.outputs() * kMostVectors);
    out = Aligned<T>(net.outputs() * kMostVectors);
    e = Aligned<T>(net.outputs() * kMostVectors);
    sums = Aligned<T>(kSamples * widest);
    zero = Aligned<T>(widest);
  }

  static T* numbers(V* vectors) { return reinterpret_cast<T*>(vectors); }

  // Calls f(a number of `params`, its place in a row of kernels/network.py) but for the weights between hidden layers,
  // which `turn` brings over.
  template <class F> void each_number(const F& f) {
    const Hidden& bottom = layers.front();
    for (int64_t i = 0; i < bottom.fan_in; i++)
      for (int64_t j = 0; j < bottom.units; j++) f(numbers(params)[i * bottom.units + j], j * bottom.fan_in + i);
    int64_t place = 0;
    for (const Hidden& layer : layers) {
      T* p = numbers(params + layer.first) + layer.fan_in * layer.units;
      place += layer.fan_in * layer.units;
      for (int64_t j = 0; net.biases && j < layer.units; j++) f(*p++, place++);
    }
    for (T* p = numbers(params + last); place < n_parameters;) f(*p++, place++);
  }

  // Takes a network at its initial parameters.
  void load(int64_t number) {
    this->take(number, 1);
    const T* row = static_cast<const T*>(spec.initial) + number * n_parameters;
    each_number([&](T& p, int64_t place) { p = row[place]; });
    for (size_t l = 1; l < layers.size(); l++) {
      const Hidden& layer = layers[l];
      turn(row + layer.first * L, layer.units, layer.fan_in, numbers(params + layer.first));
    }
    for (int64_t v = 0; v < n_vectors; v++) {
      first[v] = V{};
      if (spec.optimizer >= kAdam) second[v] = V{};
    }
  }

  // Writes the parameters to the network's row of `table` [n_networks][n_parameters].
  void store(void* table) {
    T* row = static_cast<T*>(table) + network[0] * n_parameters;
    each_number([&](T& p, int64_t place) { row[place] = p; });
    for (size_t l = 1; l < layers.size(); l++) {
      const Hidden& layer = layers[l];
      turn(numbers(params + layer.first), layer.fan_in, layer.units, row + layer.first * L);
    }
  }

  // Whether its parameters are finite.
  uint32_t finite() const {
    V sum{};  // of zeros, and of NaN where a parameter is not
    for (int64_t v = 0; v < n_vectors; v++) sum += params[v] - params[v];
    return !lanes_of<T>(sum != 0);
  }

  // Fills y with the labels of m samples, of which s is number sample(s) of all data sets' samples.
  template <int N, class Sample> void labels(int64_t m, const Sample& sample) {
    const int64_t outputs = net.outputs();
    T* to = numbers(y);
    if (spec.loss == kMse) {
      const T* targets = static_cast<const T*>(spec.samples.y);
      for (int64_t o = 0; o < outputs; o++)
        for (int64_t s = 0; s < m; s++) to[o * N * L + s] = targets[sample(s) * outputs + o];
    } else {
      const int64_t* classes = static_cast<const int64_t*>(spec.samples.y);
      for (int64_t s = 0; s < m; s++) to[s] = T(classes[sample(s)]);
    }
  }

  // Passes m samples from position `begin` of the step's batch on, which fill at most N vectors.
  template <int N> void tile(int64_t step, int64_t start, int64_t begin, int64_t m, T scale) {
    const SamplesSpec& samples = spec.samples;
    const int64_t base = samples.dataset[network[0]] * samples.n_samples;
    const int64_t inputs = net.inputs();
    const T* table = static_cast<const T*>(samples.x) + base * inputs;
    Numbers<T, false> in{table + begin * inputs, inputs};
    if (spec.sampling == kFull) {
      labels<N>(m, [&](int64_t s) { return base + begin + s; });
    } else {
      int64_t index[N * L];
      this->choose(step, start, begin, index);
      for (int64_t s = 0; s < m; s++) std::copy_n(table + index[s] * inputs, inputs, numbers(x) + s * inputs);
      in.at = numbers(x);
      labels<N>(m, [&](int64_t s) { return base + index[s]; });
    }
    hidden_layers(in, m);
    outputs<N>();
    losses<N>(m, scale);
    backward<N>(in, m);
  }

  void hidden_layers(Numbers<T, false> in, int64_t m) {
    const T slope = T(net.negative_slope);
    for (Hidden& layer : layers) {
      const V* w = params + layer.first;
      const V* b = net.biases ? w + layer.fan_in * layer.vectors : zero;
      if constexpr (A == kRelu) {
        P::template fill_rows<Rectified>(m, layer.vectors, in, w, layer.fan_in, b, layer.h);
      } else {
        V* z = U::keeps_z ? layer.z : layer.h;
        P::template fill_rows<Unchanged>(m, layer.vectors, in, w, layer.fan_in, b, z);
        for (int64_t i = 0; i < m * layer.vectors; i++) layer.h[i] = U::value(z[i], slope);
      }
      in = {numbers(layer.h), layer.units};
    }
  }

  // Fills `out` from the last hidden layer, whose units come out of a transposition: a sum runs over them in order.
  template <int N> void outputs() {
    const int64_t units = layers.back().units;
    const T* h = numbers(layers.back().h);
    const T* v = numbers(params + last);
    const T* b = v + net.outputs() * units;
    for (int64_t o = 0; o < net.outputs(); o++)
      for (int i = 0; i < N; i++) out[o * N + i] = net.biases ? splat<T>(b[o]) : V{};
    for (int64_t c = 0; c < units; c += L)
      for (int i = 0; i < N; i++) {
        V column[L];
        columns_of(h + i * L * units + c, units, column);
        for (int64_t o = 0; o < net.outputs(); o++) {
          V sum = out[o * N + i];
#pragma GCC unroll 16
          for (int k = 0; k < L; k++) sum = fma(splat<T>(v[o * units + c + k]), column[k], sum);
          out[o * N + i] = sum;
        }
      }
  }

  // Adds the losses of m samples to `loss`, in the order of trainer.h, and fills e.
  template <int N> void losses(int64_t m, T scale) {
    V value[N];
    const LaneInputs<T> labels{y};
    if (spec.loss == kMse) {
      Tile<T>::template squared_errors<N>(labels, out, net.outputs(), scale, value, e);
    } else {
      Tile<T>::template cross_entropies<N>(labels, out, net.outputs(), scale, value, e, T(spec.label_smoothing));
    }
    const T* values = numbers(value);
    T total = loss[0];
    int64_t s = 0;
    for (; s + kTile <= m; s += kTile) total += std::accumulate(values + s + 1, values + s + kTile, values[s]);
    loss[0] = std::accumulate(values + s, values + m, total);
  }

  template <int N> void backward(Numbers<T, false> in, int64_t m) {
    const T slope = T(net.negative_slope);
    for (size_t l = layers.size(); l-- > 0;) {
      Hidden& layer = layers[l];
      auto sums_of = [&](auto finish, V* to) {
        using Finish = decltype(finish);
        if (l + 1 == layers.size()) return last_layer<N, Finish>(m, to);
        Hidden& above = layers[l + 1];
        P::template fill_rows<Finish>(m, layer.vectors, Numbers<T, false>{numbers(above.h), above.units}, above.back,
                                      above.units, Nothing<V>{}, to);
      };
      if constexpr (A == kRelu) {
        sums_of(WhereActive{}, layer.h);
      } else {
        sums_of(Unchanged{}, sums);
        const V* kept = U::keeps_z ? layer.z : layer.h;
        for (int64_t i = 0; i < m * layer.vectors; i++) layer.h[i] = U::times_derivative(sums[i], kept[i], slope);
      }
      V* g = gradient + layer.first;
      const Numbers<T, true> of = l == 0 ? Numbers<T, true>{in.at, in.given}
                                         : Numbers<T, true>{numbers(layers[l - 1].h), layer.fan_in};
      P::add_rows(layer.fan_in, layer.vectors, of, layer.h, m, g, net.biases);
    }
  }

  // Adds the gradient of the last layer, and writes Σ w e of the layer below [sample][unit] to `to`, which may be where
  // that layer's outputs are. One output does all at once.
  template <int N, class Finish> void last_layer(int64_t m, V* to) {
    constexpr int64_t row = N * L;  // of the errors of one output
    const Hidden& below = layers.back();
    const int64_t outputs = net.outputs();
    const T* errors = numbers(e);
    const V* w = params + last;
    V* g = gradient + last;
    T* bias = numbers(g) + outputs * below.units;
    if (outputs > 1) {
      for (int64_t o = 0; net.biases && o < outputs; o++)
        bias[o] = std::accumulate(errors + o * row, errors + o * row + m, bias[o]);
      P::add_rows(outputs, below.vectors, Numbers<T, false>{errors, row}, below.h, m, g, false);
      const Numbers<T, true> of{errors, row};
      return P::template fill_rows<Finish>(m, below.vectors, of, w, outputs, Nothing<V>{}, to);
    }
    in_panels<4>(below.vectors, [&](auto width, int64_t v) {
      constexpr int W = decltype(width)::value;
      V weight[W];
      V sum[W];
      for (int i = 0; i < W; i++) weight[i] = w[v + i];
      for (int i = 0; i < W; i++) sum[i] = g[v + i];
      V total = splat<T>(net.biases ? bias[0] : T(0));
      for (int64_t s = 0; s < m; s++) {
        const V error = splat<T>(errors[s]);
        total += error;
        for (int i = 0; i < W; i++) {
          const int64_t at = s * below.vectors + v + i;
          const V h = below.h[at];
          sum[i] = fma(error, h, sum[i]);
          to[at] = Finish::of(weight[i] * error, h);
        }
      }
      for (int i = 0; i < W; i++) g[v + i] = sum[i];
      if (net.biases && v + W == below.vectors) bias[0] = total[0];
    });
  }

  // Computes the mean loss of the step's batch and its gradient; false if it was told to stop meanwhile.
  bool batch(int64_t step) {
    const auto [start, size] = this->begin(step);
    for (size_t l = 1; l < layers.size(); l++) {
      Hidden& layer = layers[l];
      turn(numbers(params + layer.first), layer.fan_in, layer.units, numbers(layer.back));
    }
    std::memset(static_cast<void*>(gradient), 0, size_t(n_vectors) * sizeof(V));
    loss = V{};
    const T scale = T(1) / T(size);
    for (int64_t s = 0; s < size; s += kSamples) {
      const int64_t m = std::min<int64_t>(kSamples, size - s);
      if (m > kSamples / 2) {
        tile<kMostVectors>(step, start, s, m, scale);
      } else if (m > 2 * L) {
        tile<kMostVectors / 2>(step, start, s, m, scale);
      } else {
        tile<2>(step, start, s, m, scale);
      }
      if (cancelled(spec.monitor)) return false;
    }
    loss *= scale;
    return true;
  }

  void update(int64_t step) {
    optimizer_step<T>(spec, step, n_vectors, {params, gradient, first, second, moves, this->lr, this->momentum,
                                              this->weight_decay, splat<T>(this->active[0]), this->plain});
  }
};

}  // namespace
