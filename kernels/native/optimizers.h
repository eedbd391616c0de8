// One step of the optimizers (formulas: kernels/training.py), on the parameters of a group of networks.
#pragma once
#include <cmath>

#include "train.h"

// A group of lanes as the optimizers see it; arrays are [n_parameters].
template <class T> struct Group {
  using V = Vec<T>;
  V* params;
  const V* gradient;
  V* first;        // SGD's velocity or Adam's first moment
  V* second;       // Adam's second moment
  const V* moves;  // 1 where a parameter may move, else 0
  V lr;
  V momentum;
  V weight_decay;
  V active;    // 1, or 0 once a network has stopped
  bool plain;  // whether all momenta are 0: SGD then needs no velocity
};

constexpr int kPlain = -1;  // kSgd without a velocity

// Apart: parameters are not all alike: some, or some networks, may not move, or layers have rates of their own.
template <class T, int O, bool Apart>
void optimizer_step(const TrainSpec& spec, int64_t step, int64_t n_parameters, const Group<T>& group) {
  using V = Vec<T>;
  const V common_rate = group.lr * T(spec.factors[step]);
  const T* rates = static_cast<const T*>(spec.rates);
  const V momentum = group.momentum;
  const V decay = group.weight_decay;
  const T correction_1 = T(spec.correction_1[step]);
  const T correction_2 = T(spec.correction_2[step]);
  const T beta_1 = T(spec.beta_1);
  const T beta_2 = T(spec.beta_2);
  const T eps = T(spec.eps);
  for (int64_t i = 0; i < n_parameters; i++) {
    const V before = group.params[i];
    V p = before;
    V g = group.gradient[i];
    V rate = common_rate;
    if constexpr (Apart) rate = rates ? rate * rates[i] : rate;
    if constexpr (O == kAdamW) {
      p = p * (1 - rate * decay);
    } else {
      g = fma(decay, p, g);
    }
    if constexpr (O == kPlain) {
      p = fma(-rate, g, p);
    } else if constexpr (O == kSgd || O == kNesterov) {
      const V velocity =
          momentum == 0 ? g : fma(momentum, group.first[i], g);  // as kPlain, also where the velocity is infinite
      group.first[i] = velocity;
      p = fma(-rate, O == kNesterov ? fma(momentum, velocity, g) : velocity, p);
    } else {
      const V m = fma(splat<T>(beta_1), group.first[i], (1 - beta_1) * g);
      const V v = fma(splat<T>(beta_2), group.second[i], (1 - beta_2) * g * g);
      group.first[i] = m;
      group.second[i] = v;
      p = p - rate * correction_1 * m / fma(sqrt(v), splat<T>(correction_2), splat<T>(eps));
    }
    if constexpr (Apart) p = group.moves[i] * group.active != 0 ? p : before;
    group.params[i] = p;
  }
}

template <class T>
void optimizer_step(const TrainSpec& spec, int64_t step, int64_t n_parameters, const Group<T>& group) {
  auto run = [&](auto optimizer) {
    constexpr int O = decltype(optimizer)::value;
    if (spec.trainable || spec.rates || std::isfinite(spec.stop_below)) {
      optimizer_step<T, O, true>(spec, step, n_parameters, group);
    } else {
      optimizer_step<T, O, false>(spec, step, n_parameters, group);
    }
  };
  switch (spec.optimizer) {
    case kSgd:
      return group.plain ? run(std::integral_constant<int, kPlain>{}) : run(std::integral_constant<int, kSgd>{});
    case kNesterov: return run(std::integral_constant<int, kNesterov>{});
    case kAdam: return run(std::integral_constant<int, kAdam>{});
    case kAdamW: return run(std::integral_constant<int, kAdamW>{});
    default: std::abort();  // kernels/native/__init__.py names no other
  }
}
