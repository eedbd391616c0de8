// Cycles of the native kernel's passes over one tile of 8 samples, a float network a lane; printed by tile.py as JSON,
// one object a line.
#include <chrono>
#include <cstdio>

#include "../kernels/native/factored.h"

extern "C" double lmc_fma_peak(int32_t, int64_t, double);

using V = Vec<float>;
using P = Passes<float, kRelu>;
using D = Dense<float, kRelu>;
using Short = Factored<float, kRelu>;

// Prints a row: the best of 30 repetitions in cycles, taking the cycle from the multiply-add peak measured beside it
// (one vector a cycle).
template <class F> void row(const char* what, int64_t inputs, int64_t units, int64_t multiply_adds, const F& pass) {
  double best = 1e9;
  double peak = 0;
  for (int repetition = 0; repetition < 30; repetition++) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 1000; i++) {
      pass();
      asm volatile("" ::: "memory");
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::min(best, elapsed.count() / 1000);
    peak = std::max(peak, lmc_fma_peak(0, 1, 0.002));
  }
  const char* format = "{\"pass\": \"%s\", \"inputs\": %d, \"units\": %d, \"multiply_adds\": %d, \"cycles\": %.0f}\n";
  std::printf(format, what, int(inputs), int(units), int(multiply_adds), best * peak / kLanes<float>);
}

// The rows of a network with F inputs and one hidden layer.
template <int F> void rows(int64_t units) {
  const int64_t widths[3] = {F, units, 1};
  NetworkSpec net{};
  net.n_layers = 2;
  net.widths = widths;
  net.activation = kRelu;
  net.biases = 1;
  const int64_t n = net.n_parameters();
  Aligned<float> params(n);
  Aligned<float> gradient(n);
  Aligned<float> d(kTile);
  Workspace<float> work(net, true);
  std::vector<float> x(size_t(kTile * F));
  for (int64_t i = 0; i < n; i++) params[i] = splat<float>(0.01f * float(i % 7 - 3));
  for (size_t i = 0; i < x.size(); i++) x[i] = 0.1f * float(i % 5) - 0.2f;
  for (int s = 0; s < kTile; s++) d[s] = splat<float>(0.1f);
  const RowInputs<float> in{x.data(), F};
  const RowInputs<float> labels{x.data(), 1};
  const V* bias = params + F * units;
  const typename P::template Store<kTile, true, false> store{work.h, nullptr, 0.f};
  row("hidden layer, a sample at a time", F, units, F * units * kTile,
      [&] { D::few_inputs<F, kTile>(in, units, params, bias, store); });
  row("hidden layer, blocks of 2 units", F, units, F * units * kTile, [&] {
    constexpr int B = D::kSamples<2, kTile>;
    for (int64_t j = 0; j < units; j += 2)
      for (int from = 0; from < kTile; from += B) D::units<2, kTile, B>(in, F, params, bias, j, from, store);
  });
  Aligned<float> z_a(units * kTile);
  Aligned<float> z_b(units * kTile);
  Aligned<float> alphas(2);
  Aligned<float> upper(2 * (units + 1));
  row("path: first layer at one end", F, units, F * units * kTile,
      [&] { P::first_layer<kTile>(net, params, in, z_a); });
  V out[2][kTile];
  row("path: outputs at two alphas", F, units, 4 * units * kTile, [&] {
    P::one_output<kTile, 2, kNoLane>(net, alphas, z_a, z_b, z_b, upper, out);
    asm volatile("" ::"m"(out) : "memory");
  });
  row("forward and backward", F, units, (2 * F + 3) * units * kTile, [&] {
    P::forward<kTile, false>(net, params, in, work);
    P::backward<kTile>(net, params, in, d, work, gradient);
  });
  V loss{};
  row("the same, factored, with the loss", F, units, (2 * F + 3) * units * kTile,
      [&] { Short::tile<kTile>(net, params, in, labels, 1e-3f, work, gradient, loss); });
}

int main() {
  for (int64_t units : {16, 64}) {
    rows<2>(units);
    rows<8>(units);
  }
}
