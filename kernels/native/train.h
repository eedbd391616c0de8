// What a training call takes, and the function that does it for one type of numbers.
#pragma once
#include "group.h"
#include "samples.h"

enum Optimizer : int32_t { kSgd, kNesterov, kAdam, kAdamW };

struct TrainSpec {  // mirrored by kernels/native/structures.py
  NetworkSpec net;
  SamplesSpec samples;
  int64_t n_networks;
  int64_t steps;
  int64_t batch_size;
  int64_t record_every;
  int64_t n_records;
  int64_t n_snapshots;
  int64_t threads;
  int32_t is_double;  // T below is double, else float
  int32_t loss;       // a Loss
  int32_t sampling;   // a Sampling
  int32_t optimizer;  // an Optimizer
  double beta_1;
  double beta_2;
  double eps;
  double label_smoothing;
  double clip_norm;               // infinite for none
  double stop_below;              // minus infinity for none
  const void* lr;                 // [n_networks], T
  const void* momentum;           // [n_networks], T
  const void* weight_decay;       // [n_networks], T
  const int64_t* data_seeds;      // [n_networks]
  const int64_t* spawn_steps;     // [n_networks]
  const int64_t* spawn_seeds;     // [n_networks]
  const uint8_t* mask;            // [n_networks][n_parameters], or null for none
  const uint8_t* trainable;       // [n_networks][n_parameters], or null for all
  const int64_t* tied;            // [n_parameters]: index of the first parameter of its tied group; or null for no ties
  const void* rates;              // [n_parameters], T: factors of the learning rate; or null for 1 everywhere
  const double* factors;          // [steps], of the learning rate
  const double* correction_1;     // [steps], Adam's 1/(1 - beta_1^t)
  const double* correction_2;     // [steps], Adam's 1/sqrt(1 - beta_2^t)
  const int64_t* snapshot_steps;  // [n_snapshots], ascending
  const void* initial;            // [n_networks][n_parameters], T: initial parameters
  void* params;                   // [n_networks][n_parameters], T: the trained ones
  void* losses;                   // [n_networks][n_records], T
  void* snapshots;                // [n_snapshots][n_networks][n_parameters], T
  int64_t* diverged_at;           // [n_networks]
  int64_t* stopped_at;            // [n_networks]
  Monitor* monitor;
};

// Trains every network in the arithmetic of T; 0, or 1 when memory ran out. Float and double are compiled side by side.
template <class T> int train_all(const TrainSpec& spec);
