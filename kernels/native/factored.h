// Training of networks with one hidden layer and one output whose σ is homogeneous: σ(z) = z σ′(z) / degree. With e the
// derivative of the loss by the output, v_j the weight from unit j to it and z_j = Σ_i w_ji x_i + b_j, the sums over a
// step's samples
//
//   A_ji = Σ σ′(z_j) e x_i     C_j = Σ σ′(z_j) e
//
// give the gradient
//
//   ∂w_ji = v_j A_ji     ∂b_j = v_j C_j     ∂v_j = (Σ_i w_ji A_ji + b_j C_j) / degree
//
// so that a sample needs neither v_j e nor a sum for ∂v_j: a quarter less work at two inputs. The GPU kernels do the
// same (kernels/gpu/registers/network.py). A and C are summed where ∂w and ∂b will stand.
#pragma once
#include "samples.h"

// σ(z) = z σ′(z) / kDegree, 0 where there is no such number.
template <Activation A> constexpr int kDegree = A == kIdentity || A == kRelu || A == kLeakyRelu ? 1
                                                : A == kSquare                                  ? 2
                                                                                                : 0;

// σ′(z) e, which is added to sums. Relu's is e or nothing: with masks it need not be computed.
template <class T, Activation A> struct Gated {
  using V = Vec<T>;
  V value;
  Gated(V e, V kept, T slope) : value(Unit<T, A>::times_derivative(e, kept, slope)) {}
  V add_to(V sum) const { return sum + value; }
  V add_to(V sum, V x) const { return fma(value, x, sum); }
};
#if defined(__AVX512F__) && defined(__AVX512DQ__)
template <> struct Gated<float, kRelu> {
  using V = Vec<float>;
  V e;
  __mmask16 active;
  Gated(V e, V h, float) : e(e), active(_mm512_cmp_ps_mask((__m512)h, _mm512_setzero_ps(), _CMP_NEQ_UQ)) {}
  V add_to(V sum) const { return (V)_mm512_mask_add_ps((__m512)sum, active, (__m512)sum, (__m512)e); }
  V add_to(V sum, V x) const { return (V)_mm512_mask3_fmadd_ps((__m512)e, (__m512)x, (__m512)sum, active); }
};
template <> struct Gated<double, kRelu> {
  using V = Vec<double>;
  V e;
  __mmask8 active;
  Gated(V e, V h, double) : e(e), active(_mm512_cmp_pd_mask((__m512d)h, _mm512_setzero_pd(), _CMP_NEQ_UQ)) {}
  V add_to(V sum) const { return (V)_mm512_mask_add_pd((__m512d)sum, active, (__m512d)sum, (__m512d)e); }
  V add_to(V sum, V x) const { return (V)_mm512_mask3_fmadd_pd((__m512d)e, (__m512d)x, (__m512d)sum, active); }
};
#endif

template <class T, Activation A> struct Factored {
  using V = Vec<T>;
  using U = Unit<T, A>;
  using D = Dense<T, A>;
  using P = Passes<T, A>;

  // Whether a network's gradient is computed so: a question of its architecture alone, so that its bits do not depend
  // on its company. Above further hidden layers, whose derivatives need v_j e all the same, nothing would be saved.
  static bool fits(const NetworkSpec& net) {
    return kDegree<A> > 0 && net.n_layers == 2 && net.outputs() == 1 && !net.blocks();
  }

  // Adds a tile's losses to `loss`, and its part of A, C and the output's bias to `gradient`; ∂v is left alone. Outputs
  // and errors stay in registers from the first unit's forward pass to the last one's backward pass.
  template <int S, class In, class Labels>
  static void tile(const NetworkSpec& net, const V* params, const In& in, const Labels& labels, T scale,
                   Workspace<T>& work, V* gradient, V& loss) {
    auto few = [&](auto count) {
      constexpr int F = decltype(count)::value;
      const auto rows = in.template of_width<F>();
      if (net.biases) {
        few_inputs<F, true>(net, params, rows, labels, scale, work, gradient, loss);
      } else {
        few_inputs<F, false>(net, params, rows, labels, scale, work, gradient, loss);
      }
    };
    if constexpr (S == kTile) {
      switch (net.inputs()) {
        case 1: return few(std::integral_constant<int, 1>{});
        case 2: return few(std::integral_constant<int, 2>{});
        case 4: return few(std::integral_constant<int, 4>{});
        case 8: return few(std::integral_constant<int, 8>{});
        default: break;
      }
    }
    const int64_t units = net.widths[1];
    const V* bias = net.biases ? params + net.inputs() * units : nullptr;
    const V* v = params + net.layer_size(0);
    const T slope = T(net.negative_slope);
    V* kept = U::keeps_z ? work.z : work.h;
    V out[S];
    for (int s = 0; s < S; s++) out[s] = net.biases ? v[units] : V{};
    auto add = [&](int64_t j, int s, V z) __attribute__((always_inline)) {
      const V h = U::value(z, slope);
      kept[j * S + s] = U::keeps_z ? z : h;
      out[s] = fma(v[j], h, out[s]);
    };
    D::template layer<S>(in, net.inputs(), units, params, bias, add);
    V e[S];
    loss += errors<S>(labels, out, scale, e);
    backward<S>(net, in, e, work, gradient);
  }

  // The sum of a tile's losses; e [sample] become `scale` times their derivatives by the outputs.
  template <int S, class Labels>
  __attribute__((always_inline)) static V errors(const Labels& labels, const V (&out)[S], T scale, V (&e)[S]) {
    V value[S];
    Tile<T>::template squared_errors<S>(labels, out, 1, scale, value, e);
    V sum = value[0];
    for (int s = 1; s < S; s++) sum += value[s];
    return sum;
  }

  // tile() for F inputs, without a loop over them.
  template <int F, bool Biases, class In, class Labels>
  static void few_inputs(const NetworkSpec& net, const V* params, const In& in, const Labels& labels, T scale,
                         Workspace<T>& work, V* gradient, V& loss) {
    const int64_t units = net.widths[1];
    const int64_t biases = F * units;          // of the hidden units
    const int64_t above = net.layer_size(0);  // weights of the output, then its bias
    const T slope = T(net.negative_slope);
    V* kept = U::keeps_z ? work.z : work.h;
    V out[kTile];
    in_parts<kTile, kBlockSamples>([&](auto from) __attribute__((always_inline)) {
      V sum[kBlockSamples];
      for (int s = 0; s < kBlockSamples; s++) sum[s] = Biases ? params[above + units] : V{};
      for (int64_t j = 0; j < units; j++) {
        V weight[F];
        for (int i = 0; i < F; i++) weight[i] = params[j * F + i];
        const V bias = Biases ? params[biases + j] : V{};
        const V v = params[above + j];
#pragma GCC unroll 8
        for (int s = 0; s < kBlockSamples; s++) {
          V z = bias;
#pragma GCC unroll 8
          for (int i = 0; i < F; i++) z = fma(weight[i], in.template load<kTile>(i, from + s), z);
          const V h = U::value(z, slope);
          kept[j * kTile + from + s] = U::keeps_z ? z : h;
          sum[s] = fma(v, h, sum[s]);
        }
      }
      for (int s = 0; s < kBlockSamples; s++) out[from + s] = sum[s];
    });
    V e[kTile];
    loss += errors<kTile>(labels, out, scale, e);
    if constexpr (Biases) add_output_bias<kTile>(e, gradient[above + units]);
    constexpr int J = 2 * F <= kGradientSums ? 2 : 1;
    in_blocks<J>(units, [&](auto count, int64_t j) __attribute__((always_inline)) {
      add_units<decltype(count)::value, F, Biases>(in, j, e, kept, slope, gradient, gradient + biases);
    });
  }

  template <int S> __attribute__((always_inline)) static void add_output_bias(const V* e, V& gradient) {
    V sum = gradient;
    for (int s = 0; s < S; s++) sum += e[s];
    gradient = sum;
  }

  // Adds to A [unit][F] and C [unit] of J units from unit `first` on, all sums in registers; C is left alone without
  // biases.
  template <int J, int F, bool Biases, class In>
  __attribute__((always_inline)) static void add_units(const In& in, int64_t first, const V (&e)[kTile], const V* kept,
                                                       T slope, V* a, V* c) {
    V sum[J][F];
    V bias[J];
    for (int j = 0; j < J; j++) {
      for (int i = 0; i < F; i++) sum[j][i] = a[(first + j) * F + i];
      if constexpr (Biases) bias[j] = c[first + j];
    }
#pragma GCC unroll 8
    for (int s = 0; s < kTile; s++)
#pragma GCC unroll 8
      for (int j = 0; j < J; j++) {
        const Gated<T, A> gated(e[s], kept[(first + j) * kTile + s], slope);
#pragma GCC unroll 8
        for (int i = 0; i < F; i++) sum[j][i] = gated.add_to(sum[j][i], in.template load<kTile>(i, s));
        if constexpr (Biases) bias[j] = gated.add_to(bias[j]);
      }
    for (int j = 0; j < J; j++) {
      for (int i = 0; i < F; i++) a[(first + j) * F + i] = sum[j][i];
      if constexpr (Biases) c[first + j] = bias[j];
    }
  }

  // Adds to A, C and the output's bias, from e [sample], where work holds what σ′ is computed from.
  template <int S, class In>
  static void backward(const NetworkSpec& net, const In& in, const V* e, Workspace<T>& work, V* gradient) {
    const int64_t units = net.widths[1];
    const T slope = T(net.negative_slope);
    const V* kept = work.kept(0, S, U::keeps_z);
    if (net.biases) add_output_bias<S>(e, gradient[net.layer_size(0) + units]);
    for (int64_t j = 0; j < units; j++)
      for (int s = 0; s < S; s++) work.h[j * S + s] = U::times_derivative(e[s], kept[j * S + s], slope);
    P::template add_gradient<S>(net, 0, in, work.h, work, gradient);
  }

  // Makes the gradient of a step from A and C.
  static void finish(const NetworkSpec& net, const V* params, V* gradient) {
    const int64_t fan_in = net.inputs();
    const int64_t units = net.widths[1];
    const int64_t first = net.layer_size(0);
    for (int64_t j = 0; j < units; j++) {
      const V v = params[first + j];
      V inner{};
      auto scale = [&](int64_t p) {
        const V sum = gradient[p];
        inner = fma(params[p], sum, inner);
        gradient[p] = v * sum;
      };
      for (int64_t i = 0; i < fan_in; i++) scale(j * fan_in + i);
      if (net.biases) scale(fan_in * units + j);
      gradient[first + j] = inner * (T(1) / T(kDegree<A>));
    }
  }
};
