// What a call for losses along paths takes, and the function that does it for one type of numbers.
#pragma once
#include "group.h"
#include "samples.h"

struct PathSpec {  // mirrored by kernels/native/structures.py
  NetworkSpec net;
  SamplesSpec samples;
  int64_t n_pairs;
  int64_t n_alphas;
  int64_t threads;
  int32_t is_double;       // T below is double, else float
  int32_t loss;            // a Loss
  const void* params_a;    // [n_pairs][n_parameters], T
  const void* params_b;    // [n_pairs][n_parameters], T
  const double* alphas;    // [n_alphas]
  const int64_t* seeds;    // [n_pairs], of fresh inputs
  double* mean;            // [n_pairs][n_alphas], and so are the next three
  double* standard_error;  // of the mean
  double* skewness;        // of the samples' losses
  double* error;           // share of samples misclassified; left alone for mse
  Monitor* monitor;
};

// Evaluates every path in the arithmetic of T; 0, or 1 when memory ran out. Float and double are compiled side by side.
template <class T> int evaluate_all(const PathSpec& spec);
