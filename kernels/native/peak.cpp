// The machine's fused multiply-add peak, for the denominator of "share of peak".
#include <chrono>

#include "group.h"

namespace {

template <class T> double peak(double seconds) {
  constexpr int chains = 12;  // cover the latency of two units, and with a and b fit the 16 registers of AVX2
  Vec<T> sum[chains];
  const Vec<T> a = splat<T>(T(0.9999));
  const Vec<T> b = splat<T>(T(1e-4));
  for (int c = 0; c < chains; c++) sum[c] = splat<T>(T(c));
  const auto start = std::chrono::steady_clock::now();
  double elapsed = 0;
  double count = 0;
  while (elapsed < seconds) {
    for (int i = 0; i < 10000; i++)
#pragma GCC unroll 16
      for (int c = 0; c < chains; c++) sum[c] = fma(sum[c], a, b);
    count += 10000.0 * chains * kLanes<T>;
    elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  volatile T keep = 0;
  for (int c = 0; c < chains; c++) keep = keep + sum[c][0];
  return count / elapsed;
}

}  // namespace

// fused multiply-adds a second over all threads together, measured for about `seconds`
extern "C" double lmc_fma_peak(int32_t is_double, int64_t threads, double seconds) {
  std::vector<double> rate(size_t(threads), 0.0);
  Monitor monitor{0, 0};
  run_groups(threads, threads, &monitor, [&](auto take) {
    for (int64_t i; (i = take()) >= 0;) rate[size_t(i)] = is_double ? peak<double>(seconds) : peak<float>(seconds);
  });
  double total = 0;
  for (double r : rate) total += r;
  return total;
}

extern "C" int32_t lmc_activation(const char* name) { return activation_code(name); }

extern "C" int32_t lmc_vector_bytes() { return kVectorBytes; }

// whether this processor has the instructions that the library was compiled for
extern "C" int32_t lmc_runs_here() {
  bool runs = true;
#if defined(__AVX2__)
  runs &= __builtin_cpu_supports("avx2") > 0;
#endif
#if defined(__FMA__)
  runs &= __builtin_cpu_supports("fma") > 0;
#endif
#if defined(__BMI2__)
  runs &= __builtin_cpu_supports("bmi2") > 0;
#endif
#if defined(__AVX512F__)
  runs &= __builtin_cpu_supports("avx512f") > 0;
#endif
#if defined(__AVX512DQ__)
  runs &= __builtin_cpu_supports("avx512dq") > 0;
#endif
#if defined(__AVX512BW__)
  runs &= __builtin_cpu_supports("avx512bw") > 0;
#endif
#if defined(__AVX512VL__)
  runs &= __builtin_cpu_supports("avx512vl") > 0;
#endif
  return runs;
}
