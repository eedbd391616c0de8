// Hidden layers that are more than σ(Wh + b): z normalised over the units, the input added to the output. Plain loops,
// a layer at a time; included by network.h, whose Passes call the functions of the same names here.
#pragma once

template <class T, Activation A> struct Blocks {
  using V = Vec<T>;
  using U = Unit<T, A>;
  using D = Dense<T, A>;
  static constexpr double kNormEps = 1e-5;  // NORM_EPS of kernels/network.py

  // From z = Wh + b of hidden layer l, which lies in work.z, to its output.
  template <int S> static void finish(const NetworkSpec& net, int64_t l, Workspace<T>& work) {
    const int64_t units = net.widths[l + 1];
    V* z = work.z + work.unit[l] * S;
    V* a = work.a + work.unit[l] * S;
    V* h = work.h + work.unit[l] * S;
    const T slope = T(net.negative_slope);
    if (net.normalise) normalise<S>(units, z, work.inverse + l * S);
    for (int64_t i = 0; i < units * S; i++) {
      a[i] = U::value(z[i], slope);
      h[i] = a[i];
    }
    if (!net.skips(l)) return;
    const V* below = work.h + work.unit[l - 1] * S;
    for (int64_t i = 0; i < units * S; i++) h[i] += below[i];
  }

  // z ← (z − mean(z)) / √(variance(z) + ε) over the units, for each sample; the factor is left in `inverse` [sample].
  template <int S> static void normalise(int64_t units, V* z, V* inverse) {
    const T share = T(1) / T(units);
    for (int s = 0; s < S; s++) {
      V sum{};
      V squares{};
      for (int64_t j = 0; j < units; j++) sum += z[j * S + s];
      const V mean = sum * share;
      for (int64_t j = 0; j < units; j++) {
        const V centred = z[j * S + s] - mean;
        z[j * S + s] = centred;
        squares = fma(centred, centred, squares);
      }
      const V factor = 1 / sqrt(fma(squares, splat<T>(share), splat<T>(T(kNormEps))));
      for (int64_t j = 0; j < units; j++) z[j * S + s] *= factor;
      inverse[s] = factor;
    }
  }

  // Layer l on the inputs `in`; its parameters begin at p.
  template <int S, class In>
  static void affine(const NetworkSpec& net, int64_t l, const In& in, const V* p, Workspace<T>& work) {
    const int64_t fan_in = net.widths[l];
    const int64_t fan_out = net.widths[l + 1];
    const bool hidden = l + 1 < net.n_layers;
    V* to = (hidden ? work.z : work.h) + work.unit[l] * S;
    const V* bias = net.biases ? p + fan_in * fan_out : nullptr;
    auto store = [&](int64_t j, int s, V sum) __attribute__((always_inline)) { to[j * S + s] = sum; };
    D::template layer<S>(in, fan_in, fan_out, p, bias, store);
    if (hidden) finish<S>(net, l, work);
  }

  // Outputs of the last layer, from the first layer's on; `upper` are the parameters of the layers above it.
  template <int S> static const V* upper_layers(const NetworkSpec& net, const V* upper, Workspace<T>& work) {
    for (int64_t l = 1; l < net.n_layers; l++) {
      affine<S>(net, l, LaneInputs<T>{work.h + work.unit[l - 1] * S}, upper, work);
      upper += net.layer_size(l);
    }
    return work.h + work.unit[net.n_layers - 1] * S;
  }

  // Outputs of the last layer.
  template <int S, class In>
  static const V* forward(const NetworkSpec& net, const V* params, const In& in, Workspace<T>& work) {
    affine<S>(net, 0, in, params, work);
    return upper_layers<S>(net, params + net.layer_size(0), work);
  }

  // Outputs on a path, from the first layer's z at both ends.
  template <int S> static const V* between(const NetworkSpec& net, V alpha, const V* z_a, const V* z_b, const V* upper,
                                           Workspace<T>& work) {
    for (int64_t i = 0; i < net.widths[1] * S; i++)
      work.z[i] = alpha == 1 ? z_b[i] : fma(alpha, z_b[i] - z_a[i], z_a[i]);
    finish<S>(net, 0, work);
    return upper_layers<S>(net, upper, work);
  }

  // From the derivative d by the normalised z to that by Wh + b: d ← (d − mean(d) − z mean(d z)) / √(variance + ε).
  template <int S> static void normalise_back(int64_t units, const V* z, const V* inverse, V* d) {
    const T share = T(1) / T(units);
    for (int s = 0; s < S; s++) {
      V sum{};
      V along{};
      for (int64_t j = 0; j < units; j++) {
        sum += d[j * S + s];
        along = fma(d[j * S + s], z[j * S + s], along);
      }
      sum *= share;
      along *= share;
      for (int64_t j = 0; j < units; j++) d[j * S + s] = (d[j * S + s] - fma(z[j * S + s], along, sum)) * inverse[s];
    }
  }

  // Adds the tile's gradient to `gradient`, from the derivatives by the outputs, after forward().
  template <int S, class In> static void backward(const NetworkSpec& net, const V* params, const In& in, const V* d_out,
                                                  Workspace<T>& work, V* gradient) {
    int64_t offset = net.n_parameters();
    for (int64_t l = net.n_layers - 1; l >= 0; l--) {
      const int64_t fan_in = net.widths[l];
      const int64_t fan_out = net.widths[l + 1];
      const V* w_above = params + offset;  // of layer l + 1
      offset -= net.layer_size(l);
      const V* d = d_out;
      if (l + 1 < net.n_layers) {
        hidden_back<S>(net, l, w_above, d_out, work);
        d = work.d + work.unit[l] * S;
      }
      V* gw = gradient + offset;
      V* gb = net.biases ? gw + fan_in * fan_out : nullptr;
      if (l) {
        D::template add_gradient<S>(LaneInputs<T>{work.h + work.unit[l - 1] * S}, fan_in, fan_out, d, gw, gb);
      } else {
        D::template add_gradient<S>(in, fan_in, fan_out, d, gw, gb);
      }
    }
  }

  // Derivatives by hidden layer l's output (work.d_h) and by its Wh + b (work.d), from those of the layer above.
  template <int S>
  static void hidden_back(const NetworkSpec& net, int64_t l, const V* w_above, const V* d_out, Workspace<T>& work) {
    const int64_t units = net.widths[l + 1];
    const int64_t units_above = net.widths[l + 2];
    const int64_t own = work.unit[l] * S;
    const int64_t above = work.unit[l + 1] * S;
    const V* d_above = l + 2 == net.n_layers ? d_out : work.d + above;
    const V* skipped =
        net.skips(l + 1) ? work.d_h + above : nullptr;  // what the layer above passes down around its weights
    const V* kept = (U::keeps_z ? work.z : work.a) + own;
    const T slope = T(net.negative_slope);
    V* d_h = work.d_h + own;
    V* d_z = work.d + own;
    for (int64_t j = 0; j < units; j++)
      for (int s = 0; s < S; s++) {
        V sum = skipped ? skipped[j * S + s] : V{};
        for (int64_t k = 0; k < units_above; k++) sum = fma(w_above[k * units + j], d_above[k * S + s], sum);
        d_h[j * S + s] = sum;
        d_z[j * S + s] = U::times_derivative(sum, kept[j * S + s], slope);
      }
    if (net.normalise) normalise_back<S>(units, work.z + own, work.inverse + l * S, d_z);
  }
};
