// Where a tile's inputs and labels come from: a table, or a teacher that labels fresh Gaussian inputs. And the losses.
#pragma once
#include "network.h"
#include "streams.h"

enum Loss : int32_t { kMse, kCrossEntropy };
enum Sampling : int32_t { kFull, kEpoch, kReplacement, kOnline };

struct SamplesSpec {  // mirrored by kernels/native/structures.py
  int64_t n_samples;
  const void* x;               // [n_datasets][n_samples][n_inputs], T
  const void* y;               // [n_datasets][n_samples][n_outputs], T; or [n_datasets][n_samples], int64 classes
  const int64_t* dataset;      // [n_networks or n_pairs]
  const void* teacher_params;  // [n_datasets][n_parameters of the teacher], T
  NetworkSpec teacher;
  int32_t has_teacher;
};

// Copies n numbers of each lane's row to n vectors, which lie `stride` vectors apart.
template <class T> inline void gather(const T* const (&row)[kLanes<T>], int64_t n, int64_t stride, Vec<T>* out) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    Vec<T> block[L];
#pragma GCC unroll 16
    for (int l = 0; l < L; l++) std::memcpy(&block[l], row[l] + i, sizeof block[l]);
    transpose<T>(block);
#pragma GCC unroll 16
    for (int k = 0; k < L; k++) out[(i + k) * stride] = block[k];
  }
  for (; i < n; i++) {
    T* lane = reinterpret_cast<T*>(out + i * stride);
    for (int l = 0; l < L; l++) lane[l] = row[l][i];
  }
}

// Copies n vectors to rows of n numbers, those of the first `lanes` lanes.
template <class T> inline void scatter(const Vec<T>* in, int64_t n, T* const (&row)[kLanes<T>], int lanes) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    Vec<T> block[L];
    for (int k = 0; k < L; k++) block[k] = in[i + k];
    transpose<T>(block);
    for (int l = 0; l < L && l < lanes; l++) std::memcpy(row[l] + i, &block[l], sizeof block[l]);
  }
  for (; i < n; i++)
    for (int l = 0; l < lanes; l++) row[l][i] = in[i][l];
}

// A tile of S samples for the lanes of one group: inputs x [input][sample] and labels y [output][sample], or class
// numbers y [sample].
template <class T> struct Tile {
  static constexpr int L = kLanes<T>;
  const SamplesSpec& spec;
  int64_t n_inputs;
  int64_t n_outputs;  // columns of y, 1 for classes
  Loss loss;
  int64_t dataset[L];       // of each lane
  bool one_dataset = true;  // all lanes see the same data set
  Aligned<T> x;
  Aligned<T> y;
  Aligned<T> teacher_params;
  Workspace<T> teacher_work;

  Tile(const SamplesSpec& spec, int64_t n_inputs, int64_t n_outputs, Loss loss)
      : spec(spec),
        n_inputs(n_inputs),
        n_outputs(loss == kMse ? n_outputs : 1),
        loss(loss),
        x(n_inputs * kTile + 2 * kTile),
        y(n_outputs * kTile),
        teacher_params(spec.has_teacher ? spec.teacher.n_parameters() : 0),
        teacher_work(spec.teacher, false) {}

  // Takes the data set (and teacher) of each lane; item: the network or pair of each.
  void set_lanes(const int64_t (&item)[L]) {
    one_dataset = true;
    const T* teacher[L];
    for (int l = 0; l < L; l++) {
      dataset[l] = spec.dataset[item[l]];
      one_dataset &= dataset[l] == dataset[0];
      if (spec.has_teacher)
        teacher[l] = static_cast<const T*>(spec.teacher_params) + dataset[l] * spec.teacher.n_parameters();
    }
    if (spec.has_teacher) gather<T>(teacher, spec.teacher.n_parameters(), 1, teacher_params);
  }

  // Row of sample number `sample` in lane l's data set.
  int64_t row(int l, int64_t sample) const { return dataset[l] * spec.n_samples + sample; }
  const T* inputs_of(int64_t row) const { return static_cast<const T*>(spec.x) + row * n_inputs; }
  const T* targets_of(int64_t row) const { return static_cast<const T*>(spec.y) + row * n_outputs; }
  T class_of(int64_t row) const { return T(static_cast<const int64_t*>(spec.y)[row]); }

  // Inputs and targets from sample `first` on, where all lanes see the same data set.
  const T* shared_rows(int64_t first) const { return inputs_of(row(0, first)); }
  const T* shared_targets(int64_t first) const { return targets_of(row(0, first)); }

  // Fills y with labels of samples first … first + S − 1, where all lanes see the same data set.
  template <int S> void shared_labels(int64_t first) {
    const int64_t base = row(0, first);
    for (int s = 0; s < S; s++)
      for (int64_t o = 0; o < n_outputs; o++)
        y[o * S + s] = splat<T>(loss == kMse ? targets_of(base + s)[o] : class_of(base + s));
  }

  // Fills y with labels of the samples index[s][lane].
  template <int S> void labels(const int64_t (&index)[S][L]) {
    for (int s = 0; s < S; s++) {
      if (loss == kMse) {
        const T* target[L];
        for (int l = 0; l < L; l++) target[l] = targets_of(row(l, index[s][l]));
        gather<T>(target, n_outputs, S, y + s);
      } else {
        Vec<T> number;
        for (int l = 0; l < L; l++) number[l] = class_of(row(l, index[s][l]));
        y[s] = number;
      }
    }
  }

  // Fills x and y with the samples index[s][lane].
  template <int S> void rows(const int64_t (&index)[S][L]) {
    for (int s = 0; s < S; s++) {
      const T* input[L];
      for (int l = 0; l < L; l++) input[l] = inputs_of(row(l, index[s][l]));
      gather<T>(input, n_inputs, S, x + s);
    }
    labels<S>(index);
  }

  // Fills x and y with samples first … first + S − 1 of each lane's stream at `step`, labelled by the lane's teacher.
  template <int S> void fresh(const Stream<T>& stream, uint64_t step, int64_t first) {
    const int64_t blocks = (n_inputs + 3) / 4;
    for (int s = 0; s < S; s++)
      for (int64_t block = 0; block < blocks; block++) {
        Words<T> w[4];
        stream.block(uint32_t((first + s) * blocks + block), step, Purpose::kGaussian, w);
        Vec<T> z[4];
        normals<T>(w[0], w[1], z[0], z[1]);
        normals<T>(w[2], w[3], z[2], z[3]);
        for (int64_t i = 4 * block; i < std::min(n_inputs, 4 * block + 4); i++) x[i * S + s] = z[i - 4 * block];
      }
    LaneInputs<T> in{x};
    const Vec<T>* out = with_activation(spec.teacher.activation, [&](auto a) {
      return Passes<T, decltype(a)::value>::template forward<S, false>(spec.teacher, teacher_params, in, teacher_work);
    });
    const int64_t outputs = spec.teacher.outputs();
    if (loss == kMse) {
      std::memcpy(static_cast<void*>(y), static_cast<const void*>(out), size_t(outputs * S) * sizeof(Vec<T>));
    } else {
      for (int s = 0; s < S; s++) y[s] = largest<S>(out + s, outputs);
    }
  }

  // Number of the largest of the outputs out[o · S]; the first of equals.
  template <int S> static Vec<T> largest(const Vec<T>* out, int64_t outputs) {
    Vec<T> best = out[0];
    Vec<T> number{};
    for (int64_t o = 1; o < outputs; o++) {
      auto higher = out[o * S] > best;
      best = higher ? out[o * S] : best;
      number = higher ? splat<T>(T(o)) : number;
    }
    return number;
  }

  // Each sample's loss, and (unless d is null) `scale` times its derivative by the outputs. out and d are
  // [output][sample]; labels are RowInputs (mse only) or LaneInputs. A share `smoothing` of a label is spread over all
  // classes.
  template <int S, class Labels> void losses(const Labels& labels, const Vec<T>* out, int64_t outputs, T scale,
                                             Vec<T> (&value)[S], Vec<T>* d, T smoothing = 0) const {
    if (loss == kMse) {
      squared_errors<S>(labels, out, outputs, scale, value, d);
    } else {
      cross_entropies<S>(labels, out, outputs, scale, value, d, smoothing);
    }
  }

  // ½ ‖out − y‖², derivative out − y
  template <int S, class Labels>
  __attribute__((always_inline)) static void squared_errors(const Labels& labels, const Vec<T>* out, int64_t outputs,
                                                            T scale, Vec<T> (&value)[S], Vec<T>* d) {
#pragma GCC unroll 8
    for (int s = 0; s < S; s++) {
      Vec<T> sum{};
      for (int64_t o = 0; o < outputs; o++) {
        const Vec<T> e = out[o * S + s] - labels.template load<S>(o, s);
        sum = fma(e, T(0.5) * e, sum);
        if (d) d[o * S + s] = e * scale;
      }
      value[s] = sum;
    }
  }

  // −Σ_o q_o ln p_o with p = softmax(out) and q = (1 − smoothing) · (label's class) + smoothing / outputs; derivative p
  // − q. The largest output is subtracted from all, so that no exponential overflows.
  template <int S, class Labels> static void cross_entropies(const Labels& labels, const Vec<T>* out, int64_t outputs,
                                                             T scale, Vec<T> (&value)[S], Vec<T>* d, T smoothing) {
    const T own = 1 - smoothing;
    const T every = smoothing / T(outputs);
    for (int s = 0; s < S; s++) {
      const Vec<T> y = labels.template load<S>(0, s);
      Vec<T> top = out[s];
      for (int64_t o = 1; o < outputs; o++) top = out[o * S + s] > top ? out[o * S + s] : top;
      Vec<T> sum{};     // of the exponentials
      Vec<T> chosen{};  // the label's output
      Vec<T> all{};     // sum of the outputs
      for (int64_t o = 0; o < outputs; o++) {
        const Vec<T> centred = out[o * S + s] - top;
        chosen = y == T(o) ? centred : chosen;
        sum += exp<T>(centred);
        all += centred;
      }
      for (int64_t o = 0; d && o < outputs; o++) {
        const Vec<T> p = exp<T>(out[o * S + s] - top) / sum;
        d[o * S + s] = ((y == T(o) ? p - own : p) - every) * scale;
      }
      value[s] = log<T>(sum) - fma(splat<T>(own), chosen, every * all);
    }
  }
};
