// The activations, by the names and formulas of kernels/activations.py. A new one is a line of LMC_ACTIVATIONS and a
// Unit; without either nothing compiles.
#pragma once
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "functions.h"

#define LMC_ACTIVATIONS(X)  \
  X(identity, kIdentity)    \
  X(relu, kRelu)            \
  X(leaky_relu, kLeakyRelu) \
  X(erf, kErf)              \
  X(tanh, kTanh)            \
  X(square, kSquare)        \
  X(gelu, kGelu)            \
  X(silu, kSilu)

#define LMC_ENUMERATOR(name, code) code,
enum Activation : int32_t { LMC_ACTIVATIONS(LMC_ENUMERATOR) };
#undef LMC_ENUMERATOR

// One activation: value(z, slope) = σ(z), and times_derivative(d, kept, slope) = d σ′(z), where `kept` is z if keeps_z,
// else σ(z).
template <class T, Activation A> struct Unit;

template <class T> struct Unit<T, kIdentity> {
  static constexpr bool keeps_z = false;
  static Vec<T> value(Vec<T> z, T) { return z; }
  static Vec<T> times_derivative(Vec<T> d, Vec<T>, T) { return d; }
};

template <class T> struct Unit<T, kRelu> {
  static constexpr bool keeps_z = false;
  static Vec<T> value(Vec<T> z, T) { return positive_part(z); }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> h, T) { return h == 0 ? Vec<T>{} : d; }
};

template <class T> struct Unit<T, kLeakyRelu> {  // the slope is not negative: h has the sign of z
  static constexpr bool keeps_z = false;
  static Vec<T> value(Vec<T> z, T slope) { return z > 0 ? z : z * slope; }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> h, T slope) { return h > 0 ? d : d * slope; }
};

template <class T> struct Unit<T, kErf> {
  static constexpr bool keeps_z = true;
  static Vec<T> value(Vec<T> z, T) { return erf<T>(z * T(0.70710678118654752440)); }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> z, T) {
    const Vec<T> slope = T(0.79788456080286535588) * exp<T>(T(-0.5) * z * z);
    return d * slope;
  }
};

template <class T> struct Unit<T, kTanh> {
  static constexpr bool keeps_z = false;
  static Vec<T> value(Vec<T> z, T) { return tanh<T>(z); }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> h, T) { return d * fma(-h, h, splat<T>(1)); }
};

template <class T> struct Unit<T, kSquare> {
  static constexpr bool keeps_z = true;
  static Vec<T> value(Vec<T> z, T) { return z * z; }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> z, T) { return d * (2 * z); }
};

template <class T> struct Unit<T, kGelu> {
  static constexpr bool keeps_z = true;
  static Vec<T> below(Vec<T> z) {  // Φ(z) = ½ erf(z/√2) + ½
    const Vec<T> half = splat<T>(T(0.5));
    return fma(half, erf<T>(z * T(0.70710678118654752440)), half);
  }
  static Vec<T> value(Vec<T> z, T) { return z * below(z); }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> z, T) {
    const Vec<T> density = T(0.39894228040143267794) * exp<T>(T(-0.5) * z * z);
    return d * fma(z, density, below(z));
  }
};

template <class T> struct Unit<T, kSilu> {
  static constexpr bool keeps_z = true;
  static Vec<T> share(Vec<T> z) {  // 1/(1 + e⁻ᶻ), from e^(−|z|), which never overflows
    const Vec<T> small = exp<T>(z < 0 ? z : -z);
    return (z < 0 ? small : splat<T>(1)) / (1 + small);
  }
  static Vec<T> value(Vec<T> z, T) { return z * share(z); }
  static Vec<T> times_derivative(Vec<T> d, Vec<T> z, T) {
    const Vec<T> s = share(z);
    return d * fma(z * s, 1 - s, s);
  }
};

// The code of an activation's name, −1 for one that is not known here.
inline int32_t activation_code(const char* name) {
#define LMC_CODE(known, code) \
  if (!std::strcmp(name, #known)) return code;
  LMC_ACTIVATIONS(LMC_CODE)
#undef LMC_CODE
  return -1;
}

// Calls f with the activation as a compile-time constant.
template <class F> auto with_activation(int32_t activation, F&& f) {
  switch (activation) {
#define LMC_CASE(name, code) \
  case code: return f(std::integral_constant<Activation, code>{});
    LMC_ACTIVATIONS(LMC_CASE)
#undef LMC_CASE
    default: std::abort();  // kernels/native/__init__.py asks activation_code first
  }
}

inline bool keeps_z(int32_t activation) {
  return with_activation(activation, [](auto a) { return Unit<float, decltype(a)::value>::keeps_z; });
}
