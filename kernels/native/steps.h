// The steps of training, and what is written of them, for networks that are trained together: as many as a vector has
// lanes (trainer.h), or one (single.h).
#pragma once
#include "optimizers.h"

// Networks that are trained together, one a lane of the vectors below, and the batches that they draw.
template <class T> struct Networks {
  using Number = T;
  using V = Vec<T>;
  static constexpr int L = kLanes<T>;
  const TrainSpec& spec;
  const NetworkSpec& net;
  int64_t n_parameters;
  int64_t samples_at_once;  // until it looks whether to stop: whole tiles
  int64_t steps_told;       // to the monitor at a time
  Permutation<T> permutation;
  Stream<T> stream;
  int64_t network[L];  // of each lane
  int lanes = 0;       // that hold a network of their own
  V lr;
  V momentum;
  bool plain;  // whether all momenta are 0
  V weight_decay;
  V loss;    // mean over the step's batch
  V active;  // 1, or 0 once a network has stopped
  int64_t epoch = -1;  // that `permutation` is of

  explicit Networks(const TrainSpec& spec)
      : spec(spec),
        net(spec.net),
        n_parameters(net.n_parameters()),
        samples_at_once(samples_between_looks(n_parameters) / kTile * kTile + kTile),
        steps_told(std::clamp<int64_t>(samples_at_once / std::max<int64_t>(spec.batch_size, 1), 1, 64)),
        permutation(uint32_t(std::max<int64_t>(spec.samples.n_samples, 1))) {}

  // Takes n networks from number `first` on. Lanes without a network repeat the last one and are not stored.
  void take(int64_t first, int n) {
    lanes = n;
    for (int l = 0; l < L; l++) {
      network[l] = first + std::min(l, lanes - 1);
      lr[l] = static_cast<const T*>(spec.lr)[network[l]];
      momentum[l] = static_cast<const T*>(spec.momentum)[network[l]];
      weight_decay[l] = static_cast<const T*>(spec.weight_decay)[network[l]];
    }
    plain = !lanes_of<T>(momentum != 0);
    active = splat<T>(1);
    epoch = -1;
  }

  struct Batch {
    int64_t start;  // position in its epoch
    int64_t size;
  };

  // Prepares the drawing of a step's batch, and tells what it is.
  Batch begin(int64_t step) {
    Batch batch{0, spec.batch_size};
    if (spec.sampling == kFull) return batch;
    bool changed = step == 0;
    for (int l = 0; l < L; l++) {
      const int64_t n = network[l];
      const bool spawned = step >= spec.spawn_steps[n];
      stream.seed(l, spawned ? spec.spawn_seeds[n] : spec.data_seeds[n]);
      changed |= step == spec.spawn_steps[n];
    }
    if (spec.sampling != kEpoch) return batch;
    const int64_t steps_per_epoch = (spec.samples.n_samples + batch.size - 1) / batch.size;
    batch.start = step % steps_per_epoch * batch.size;
    batch.size = std::min(batch.size, spec.samples.n_samples - batch.start);
    const int64_t current = step / steps_per_epoch;
    if (changed || epoch != current) permutation.set_epoch(stream, uint64_t(current));
    epoch = current;
    return batch;
  }

  // Numbers of n samples of a step's batch from position `begin`, a multiple of 4, on, where all lanes are one
  // network's; the batch begins at `start` of its epoch, and what is beyond its end is some sample.
  template <int n> void choose(int64_t step, int64_t start, int64_t begin, int64_t (&index)[n]) const {
    const uint32_t n_samples = uint32_t(spec.samples.n_samples);
    Words<T> lane;
    for (int l = 0; l < L; l++) lane[l] = uint32_t(l);
    if (spec.sampling == kEpoch) {
      for (int s = 0; s < n; s += L) {
        const Words<T> position = uint32_t(start + begin + s) + lane;
        const Words<T> chosen = permutation(position < n_samples ? position : n_samples - 1 - Words<T>{});
        for (int l = 0; l < L; l++) index[s + l] = chosen[l];
      }
      return;
    }
    for (int s = 0; s < n; s += 4 * L) {
      Words<T> words[4];  // of positions 4 l, 4 l + 1, … in lane l
      stream.block(uint32_t((begin + s) / 4) + lane, uint64_t(step), Purpose::kReplacement, words);
      for (int i = 0; i < 4; i++) {
        const Words<T> chosen = integers<T>(words[i], n_samples);
        for (int l = 0; l < std::min(L, (n - s) / 4); l++) index[s + 4 * l + i] = chosen[l];
      }
    }
  }
};

// Trains group number `group` of networks from the first step to the last, and writes what the call returns of them.
template <class Layout> void train_group(Layout& networks, int64_t group) {
  using T = typename Layout::Number;
  constexpr int L = Layout::L;
  const TrainSpec& spec = networks.spec;
  networks.load(group);
  const int lanes = networks.lanes;
  const auto& loss = networks.loss;
  const auto& network = networks.network;
  const int64_t steps_told = networks.steps_told;
  int64_t diverged[L];  // first step whose loss was not finite, −1 for none
  int64_t stopped[L];   // first step whose loss was below stop_below, −1 for none
  const bool stops = std::isfinite(spec.stop_below);
  for (int l = 0; l < L; l++) {
    diverged[l] = -1;
    stopped[l] = -1;
  }
  int64_t snapshot = 0;  // the next one
  auto keep_snapshot = [&](int64_t step) {
    if (snapshot == spec.n_snapshots || spec.snapshot_steps[snapshot] != step) return;
    networks.store(static_cast<T*>(spec.snapshots) + snapshot * spec.n_networks * networks.n_parameters);
    snapshot++;
  };
  for (int64_t step = 0; step < spec.steps; step++) {
    keep_snapshot(step);
    if (!networks.batch(step)) return;
    const auto finite = (loss - loss) == 0;
    if (lanes_of<T>(~finite))
      for (int l = 0; l < L; l++)
        if (!finite[l] && diverged[l] < 0) diverged[l] = step;
    if (stops)
      for (int l = 0; l < L; l++)
        if (loss[l] < spec.stop_below && stopped[l] < 0) {
          stopped[l] = step;
          networks.active[l] = 0;
        }
    if (step % spec.record_every == 0) {
      T* record = static_cast<T*>(spec.losses) + step / spec.record_every;
      for (int l = 0; l < lanes; l++) record[network[l] * spec.n_records] = loss[l];
    }
    networks.update(step);
    if (step % steps_told == steps_told - 1) advance(spec.monitor, steps_told * lanes);
  }
  advance(spec.monitor, spec.steps % steps_told * lanes);
  keep_snapshot(spec.steps);
  const uint32_t finite = networks.finite();
  for (int l = 0; l < lanes; l++) {
    spec.stopped_at[network[l]] = stopped[l];
    spec.diverged_at[network[l]] = diverged[l] < 0 && !(finite >> l & 1) ? spec.steps : diverged[l];
  }
  networks.store(spec.params);
}
