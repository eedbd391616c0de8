// Layers of one network on a tile of samples, forward and back, the units of a sample in a row of vectors: what dense.h
// does for as many networks as a vector has lanes. All three passes are one product, of numbers that are broadcast with
// rows of vectors, whose blocks of rows × vectors keep their sums in registers. A sum is the chain of multiply-adds
// that dense.h has for it, so that results are the same to the last bit.
#pragma once
#include "spec.h"

// Calls f(N, first) for vectors 0 … n − 1 of a row, n > 1: two or three from `first` on, or four where that many may be
// taken at once.
template <int Most, class F> inline void in_panels(int64_t n, const F& f) {
  for (int64_t first = 0; first < n;) {
    const int64_t left = n - first;
    if (Most == 4 && (left == 4 || left > 6)) {
      f(std::integral_constant<int, 4>{}, first);
      first += 4;
    } else if (left == 3 || (Most == 4 && left > 4)) {
      f(std::integral_constant<int, 3>{}, first);
      first += 3;
    } else {
      f(std::integral_constant<int, 2>{}, first);
      first += 2;
    }
  }
}

// Calls f(n) with n, 1 … Most, as a constant.
template <int Most, class F> inline void with_count(int64_t n, const F& f) {
  if constexpr (Most > 1)
    if (n < Most) return with_count<Most - 1>(n, f);
  f(std::integral_constant<int, Most>{});
}

// Calls f(R, first, blocks) for rows 0 … n − 1, `blocks` blocks of R rows from row `first` on: as few blocks of at most
// Most rows as there can be, as even as they can be.
template <int Most, class F> inline void in_even_blocks(int64_t n, const F& f) {
  const int64_t blocks = (n + Most - 1) / Most;
  const int64_t rows = (n + blocks - 1) / blocks;
  const int64_t fuller = n - blocks * (rows - 1);
  with_count<Most>(rows, [&](auto count) { f(count, 0, fuller); });
  if (fuller < blocks) with_count<Most>(rows - 1, [&](auto count) { f(count, fuller * rows, blocks - fuller); });
}

// What a sum becomes where `old` is, and how it is put there.
struct Unchanged {
  template <class V> static V of(V sum, V) { return sum; }
  template <class V> static void put(V sum, V& to) { to = sum; }
};
struct Rectified {
  template <class V> static V of(V sum, V) { return positive_part(sum); }
  template <class V> static void put(V sum, V& to) { to = positive_part(sum); }
};
struct WhereActive {  // old: what a unit of relu put out
  template <class V> static V of(V sum, V old) { return old == 0 ? V{} : sum; }
  template <class V> static void put(V sum, V& to) { replace_nonzero(to, sum); }
};

// Numbers that are broadcast: number q of row r is at[r · stride + q], or at[q · stride + r] where Across. Known is the
// stride where it is compiled in, else 0.
template <class T, bool Across, int Known = 0> struct Numbers {
  const T* at;
  int64_t given;
  int64_t stride() const { return Known ? Known : given; }
  T operator()(int64_t r, int64_t q) const { return Across ? at[q * stride() + r] : at[r * stride() + q]; }
  Numbers from_row(int64_t r) const { return {at + (Across ? r : r * stride()), given}; }
};

// What sums start from where there are no biases: like a pointer to zeros, which a compiler sees (registers that are
// set to 0 cost nothing, those that are loaded a twentieth of a block).
template <class V> struct Nothing {
  V operator[](int64_t) const { return V{}; }
  Nothing operator+(int64_t) const { return {}; }
};

// Rows of vectors.
template <class V, int Known = 0> struct Rows {
  V* at;
  int64_t given;
  int64_t stride() const { return Known ? Known : given; }
  V& operator()(int64_t r, int64_t n) const { return at[r * stride() + n]; }
  Rows from_row(int64_t r) const { return {at + r * stride(), given}; }
};

template <class T> struct Products {
  using V = Vec<T>;
  // Sums of a block, and vectors of its rows at most: of 32 registers 24 are sums of 12 × 2, 8 × 3 or 6 × 4, of 16 12
  // of 6 × 2 or 4 × 3.
  static constexpr int kSums = kRegisters == 32 ? 24 : 12;
  static constexpr int kPanel = kRegisters == 32 ? 4 : 3;
  // Numbers of the rows whose strides are compiled in: their blocks are the shortest, so that what lies between two
  // blocks counts most.
  static constexpr int kNarrow = 32;
  static constexpr int kNarrowVectors = kNarrow / kLanes<T>;

  // sum[r][n] += Σ_q a(r, q) b(q, n) over `terms` q, in order. Ones: a is 1 in the last row.
  template <bool Ones, int R, int N, bool Across, int K, int W>
  __attribute__((always_inline)) static void add_terms(V (&sum)[R][N], Numbers<T, Across, K> a, Rows<const V, W> b,
                                                       int64_t terms) {
    const T* third[(R + 2) / 3];  // every third row: one register more addresses the two that follow
    third[0] = a.at;
    for (int i = 1; i < (R + 2) / 3; i++) third[i] = third[i - 1] + 3 * a.stride();
#pragma GCC unroll 2
    for (int64_t q = 0; q < terms; q++) {
      V y[N];
      for (int n = 0; n < N; n++) y[n] = b(q, n);
#pragma GCC unroll 24
      for (int r = 0; r < R - Ones; r++) {
        const V x = splat<T>(Across ? a.at[q * a.stride() + r] : third[r / 3][r % 3 * a.stride() + q]);
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) sum[r][n] = fma(x, y[n], sum[r][n]);
      }
      for (int n = 0; Ones && n < N; n++) sum[R - 1][n] += y[n];
    }
  }

  // out(r, n) = Finish of start[n] + Σ_q a(r, q) b(q, n), for `blocks` blocks of R rows.
  template <class Finish, int R, int N, class Start, bool Across, int K, int W>
  __attribute__((noinline)) static void fill(int64_t blocks, Numbers<T, Across, K> a, Rows<const V, W> b, int64_t terms,
                                             Start start, Rows<V, W> out) {
    if constexpr (K && !Across) terms = K;
    const int64_t last = terms - 1;
    for (; blocks > 0; blocks--) {
      V sum[R][N];
      for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) sum[r][n] = start[n];
      add_terms<false>(sum, a, b, last);
      // The last term row by row, each put away while the next is summed: all rows put away at the end would keep the
      // next block's multiply-adds from beginning.
      V y[N];
      for (int n = 0; n < N; n++) y[n] = b(last, n);
#pragma GCC unroll 25
      for (int r = 0; r <= R; r++) {
        if (r < R) {
          const V x = splat<T>(a(r, last));
#pragma GCC unroll 4
          for (int n = 0; n < N; n++) sum[r][n] = fma(x, y[n], sum[r][n]);
        }
        asm volatile("" ::: "memory");  // or else the compiler sorts them
        if (r == 0) continue;
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) Finish::put(sum[r - 1][n], out(r - 1, n));
      }
      a = a.from_row(R);
      out = out.from_row(R);
    }
  }

  // The same for n rows and F terms, a(r, q) = a[r · F + q], one row after the other with b in registers.
  template <class Finish, int F, int N, class Start>
  __attribute__((noinline)) static void fill_few(int64_t n, const T* a, Rows<const V> b, Start start, Rows<V> out) {
    V y[F][N];
    V first[N];
    for (int i = 0; i < N; i++) first[i] = start[i];
    for (int q = 0; q < F; q++)
      for (int i = 0; i < N; i++) y[q][i] = b(q, i);
#pragma GCC unroll 2
    for (int64_t r = 0; r < n; r++) {
      V sum[N];
      for (int i = 0; i < N; i++) sum[i] = first[i];
#pragma GCC unroll 4
      for (int q = 0; q < F; q++)
        for (int i = 0; i < N; i++) sum[i] = fma(splat<T>(a[r * F + q]), y[q][i], sum[i]);
      for (int i = 0; i < N; i++) out(r, i) = Finish::of(sum[i], out(r, i));
    }
  }

  // out(r, n) += Σ_q a(r, q) b(q, n), for `blocks` blocks of R rows.
  template <bool Ones, int R, int N, bool Across, int K, int W>
  __attribute__((noinline)) static void add(int64_t blocks, Numbers<T, Across, K> a, Rows<const V, W> b, int64_t terms,
                                            Rows<V, W> out) {
    for (; blocks > 0; blocks--) {
      V sum[R][N];
      for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) sum[r][n] = out(r, n);
      add_terms<Ones>(sum, a, b, terms);
      for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) out(r, n) = sum[r][n];
      a = a.from_row(R);
      out = out.from_row(R);
    }
  }

  // Calls f(R, N, K, W, row, vector, blocks) for n rows of `vectors` vectors: `blocks` blocks of R × N from there on,
  // of Numbers whose stride is K and Rows whose stride is W (0: not compiled in).
  template <class F> static void in_blocks(int64_t n, int64_t vectors, int64_t stride, const F& f) {
    in_panels<kPanel>(vectors, [&](auto width, int64_t v) {
      constexpr int N = decltype(width)::value;
      in_even_blocks<kSums / N>(n, [&](auto rows, int64_t r, int64_t blocks) {
        using Unknown = std::integral_constant<int, 0>;
        using Units = std::integral_constant<int, kNarrow>;
        using Row = std::integral_constant<int, kNarrowVectors>;
        if constexpr (N == std::min(kNarrowVectors, kPanel / 2 * 2))
          if (vectors == kNarrowVectors && stride == kNarrow) return f(rows, width, Units{}, Row{}, r, v, blocks);
        f(rows, width, Unknown{}, Unknown{}, r, v, blocks);
      });
    });
  }

  // out(r, n) = Finish of start[n] + Σ_q a(r, q) b(q, n) over `terms` q, for n rows of `vectors` vectors. Rows of a lie
  // one after the other, unless Across.
  template <class Finish, class Start, bool Across>
  __attribute__((noinline)) static void fill_rows(int64_t n, int64_t vectors, Numbers<T, Across> a, const V* b,
                                                  int64_t terms, Start start, V* out) {
    if constexpr (!Across)
      if (terms == 1 || terms == 2 || terms == 4)
        return in_panels<kPanel>(vectors, [&](auto width, int64_t v) {
          constexpr int N = decltype(width)::value;
          const Rows<const V> from{b + v, vectors};
          const Rows<V> to{out + v, vectors};
          if (terms == 1) fill_few<Finish, 1, N>(n, a.at, from, start + v, to);
          if (terms == 2) fill_few<Finish, 2, N>(n, a.at, from, start + v, to);
          if (terms == 4) fill_few<Finish, 4, N>(n, a.at, from, start + v, to);
        });
    in_blocks(n, vectors, a.given,
              [&](auto rows, auto width, auto known, auto wide, int64_t r, int64_t v, int64_t blocks) {
                constexpr int W = decltype(wide)::value;
                const Numbers<T, Across, decltype(known)::value> numbers{a.from_row(r).at, a.given};
                const Rows<V, W> to{out + r * vectors + v, vectors};
                fill<Finish, decltype(rows)::value, decltype(width)::value>(
                    blocks, numbers, Rows<const V, W>{b + v, vectors}, terms, start + v, to);
              });
  }

  // out(r, n) += Σ_q a(r, q) b(q, n) over `terms` q, for n rows of `vectors` vectors; with_ones: and for one row more,
  // of which a is 1.
  template <bool Across>
  __attribute__((noinline)) static void add_rows(int64_t n, int64_t vectors, Numbers<T, Across> a, const V* b,
                                                 int64_t terms, V* out, bool with_ones) {
    in_blocks(n + with_ones, vectors, a.given,
              [&](auto rows, auto width, auto known, auto wide, int64_t r, int64_t v, int64_t blocks) {
                constexpr int R = decltype(rows)::value;
                constexpr int N = decltype(width)::value;
                constexpr int W = decltype(wide)::value;
                const Rows<const V, W> with{b + v, vectors};
                const Numbers<T, Across, decltype(known)::value> numbers{a.from_row(r).at, a.given};
                const Rows<V, W> to{out + r * vectors + v, vectors};
                const bool last = with_ones && r + R * blocks == n + 1;
                add<false, R, N>(blocks - last, numbers, with, terms, to);
                const int64_t done = R * (blocks - 1);
                if (last) add<true, R, N>(1, numbers.from_row(done), with, terms, to.from_row(done));
              });
  }
};
