// Training: each group of lanes runs its whole step loop in one call, its networks' state in cache from the first step
// to the last.
#pragma once
#include "single.h"

namespace {

// Trains one group of kLanes<T> networks after the other; network k of a group is lane k of every vector.
template <class T, Activation A> struct Trainer : Networks<T> {
  using V = Vec<T>;
  using Base = Networks<T>;
  using Base::spec, Base::net, Base::n_parameters, Base::samples_at_once, Base::network, Base::lanes, Base::stream;
  using Base::permutation, Base::loss;
  using P = Passes<T, A>;
  using F = Factored<T, A>;
  static constexpr int L = kLanes<T>;
  bool factored;        // whether the gradient is computed by factored.h
  Aligned<T> params;    // [n_parameters]
  Aligned<T> gradient;  // [n_parameters], of the step's mean loss
  Aligned<T> first;     // [n_parameters], SGD's velocity or Adam's first moment
  Aligned<T> second;    // [n_parameters], Adam's second moment
  Aligned<T> moves;     // [n_parameters], 1 where a parameter may move, else 0
  Workspace<T> work;
  Aligned<T> d_out;  // [output][sample]
  Tile<T> tile;
  Pattern pattern;

  explicit Trainer(const TrainSpec& spec)
      : Base(spec),
        factored(F::fits(net)),
        params(n_parameters),
        gradient(n_parameters),
        first(n_parameters),
        second(spec.optimizer >= kAdam ? n_parameters : 0),
        moves(n_parameters),
        work(net, true),
        d_out(net.outputs() * kTile),
        tile(spec.samples, net.inputs(), net.outputs(), Loss(spec.loss)) {}

  // Takes the networks of a group, at their initial parameters.
  void load(int64_t group) {
    this->take(group * L, int(std::min<int64_t>(L, spec.n_networks - group * L)));
    const T* row[L];
    for (int l = 0; l < L; l++) row[l] = static_cast<const T*>(spec.initial) + network[l] * n_parameters;
    gather<T>(row, n_parameters, 1, params);
    for (int64_t p = 0; p < n_parameters; p++) {
      first[p] = V{};
      if (spec.optimizer >= kAdam) second[p] = V{};
      if (spec.tied) params[p] = params[spec.tied[p]];
      moves[p] = splat<T>(1);
      if (spec.mask) {
        only_where(spec.mask, p);
        params[p] = moves[p] != 0 ? params[p] : V{};
      }
      if (spec.trainable) only_where(spec.trainable, p);
    }
    if (spec.mask && !net.blocks()) {
      pattern.fill(net, [&](int64_t p) {
        for (int l = 0; l < lanes; l++)
          if (spec.mask[network[l] * n_parameters + p]) return true;
        return false;
      });
      work.pattern = &pattern;
    }
    tile.set_lanes(network);
  }

  // Holds parameter p where `table` has a 0.
  void only_where(const uint8_t* table, int64_t p) {
    for (int l = 0; l < L; l++)
      if (!table[network[l] * n_parameters + p]) moves[p][l] = 0;
  }

  // Writes the parameters to rows of `table` [n_networks][n_parameters].
  void store(void* table) const {
    T* row[L];
    for (int l = 0; l < L; l++) row[l] = static_cast<T*>(table) + network[l] * n_parameters;
    scatter<T>(params, n_parameters, row, lanes);
  }

  // Adds a tile's losses to `loss`, and its gradient times `scale` to `gradient`.
  template <int S, class In, class Labels> void pass(const In& in, const Labels& labels, T scale) {
    if constexpr (kDegree<A> > 0)
      if (factored && !work.sparse(0) && !work.sparse(1))
        return F::template tile<S>(net, params, in, labels, scale, work, gradient, loss);
    const V* out = P::template forward<S, Unit<T, A>::keeps_z>(net, params, in, work);
    V value[S];
    tile.template losses<S>(labels, out, net.outputs(), scale, value, d_out, T(spec.label_smoothing));
    V sum = value[0];
    for (int s = 1; s < S; s++) sum += value[s];
    loss += sum;
    if constexpr (kDegree<A> > 0)
      if (factored) return F::template backward<S>(net, in, d_out, work, gradient);
    P::template backward<S>(net, params, in, d_out, work, gradient);
  }

  // Passes samples first_sample … first_sample + S − 1 of the step's batch, which begins at position `start` of its
  // epoch.
  template <int S> void samples(int64_t step, int64_t start, int64_t first_sample, T scale) {
    if (spec.sampling == kFull && tile.one_dataset) {
      const RowInputs<T> in{tile.shared_rows(first_sample), net.inputs()};
      if (spec.loss == kMse) return pass<S>(in, RowInputs<T>{tile.shared_targets(first_sample), net.outputs()}, scale);
      tile.template shared_labels<S>(first_sample);
      return pass<S>(in, LaneInputs<T>{tile.y}, scale);
    }
    if (spec.sampling == kOnline) {
      tile.template fresh<S>(stream, uint64_t(step), first_sample);
      return pass<S>(LaneInputs<T>{tile.x}, LaneInputs<T>{tile.y}, scale);
    }
    int64_t index[S][L];
    Words<T> words[4];
    for (int s = 0; s < S; s++) {
      int64_t position = first_sample + s;
      Words<T> chosen = uint32_t(position) - Words<T>{};
      if (spec.sampling == kEpoch) chosen = permutation(uint32_t(start + position));
      if (spec.sampling == kReplacement) {
        const bool next_block = s == 0 || position % 4 == 0;
        if (next_block) stream.block(uint32_t(position / 4), uint64_t(step), Purpose::kReplacement, words);
        chosen = integers<T>(words[position % 4], uint32_t(spec.samples.n_samples));
      }
      for (int l = 0; l < L; l++) index[s][l] = chosen[l];
    }
    tile.template rows<S>(index);
    pass<S>(LaneInputs<T>{tile.x}, LaneInputs<T>{tile.y}, scale);
  }

  // Computes the mean loss of the step's batch and its gradient; false if it was told to stop meanwhile.
  bool batch(int64_t step) {
    const auto [start, size] = this->begin(step);
    std::memset(static_cast<void*>(gradient), 0, size_t(n_parameters) * sizeof(V));
    loss = V{};
    T scale = T(1) / T(size);
    for (int64_t s = 0; s < size;) {
      const int64_t next = std::min(size, s + samples_at_once);
      for (; s + kTile <= next; s += kTile) samples<kTile>(step, start, s, scale);
      for (; s < next; s++) samples<1>(step, start, s, scale);
      if (cancelled(spec.monitor)) return false;
    }
    if constexpr (kDegree<A> > 0)
      if (factored) F::finish(net, params, gradient);
    loss *= scale;
    return true;
  }

  // Turns the gradient into that of what may move: tied parameters get the sum over their group, held ones 0, and the
  // whole is clipped.
  void adjust() {
    if (spec.tied) {
      for (int64_t i = 0; i < n_parameters; i++)
        if (spec.tied[i] != i) gradient[spec.tied[i]] += gradient[i];
      for (int64_t i = 0; i < n_parameters; i++) gradient[i] = gradient[spec.tied[i]];
    }
    if (spec.mask || spec.trainable)
      for (int64_t i = 0; i < n_parameters; i++) gradient[i] = moves[i] != 0 ? gradient[i] : V{};
    if (std::isinf(spec.clip_norm)) return;
    V squares{};
    for (int64_t i = 0; i < n_parameters; i++)
      if (!spec.tied || spec.tied[i] == i) squares = fma(gradient[i], gradient[i], squares);
    const V factor = T(spec.clip_norm) / (sqrt(squares) + T(1e-6));
    const V shrink = factor > 1 ? splat<T>(1) : factor;
    for (int64_t i = 0; i < n_parameters; i++) gradient[i] *= shrink;
  }

  void update(int64_t step) {
    adjust();
    optimizer_step<T>(spec, step, n_parameters,
                      {params, gradient, first, second, moves, this->lr, this->momentum, this->weight_decay,
                       this->active, this->plain});
  }

  // Of each lane, whether its parameters are finite, as bits.
  uint32_t finite() const {
    IntVec<T> all = ~IntVec<T>{};
    for (int64_t p = 0; p < n_parameters; p++) all &= (params[p] - params[p]) == 0;
    return lanes_of<T>(all);
  }
};

template <class Is> struct Type {
  using type = Is;
};

}  // namespace

template <class T> int train_all(const TrainSpec& spec) {
  return with_activation(spec.net.activation, [&](auto a) {
    constexpr Activation A = decltype(a)::value;
    auto run = [&](auto layout, int64_t groups) {
      return run_groups(groups, spec.threads, spec.monitor, [&](auto take) {
        typename decltype(layout)::type networks(spec);
        for (int64_t g; (g = take()) >= 0;) train_group(networks, g);
      });
    };
    if constexpr (kVectorBytes >= 32)
      if (Single<T, A>::fits(spec)) return run(Type<Single<T, A>>{}, spec.n_networks);
    return run(Type<Trainer<T, A>>{}, (spec.n_networks + kLanes<T> - 1) / kLanes<T>);
  });
}
