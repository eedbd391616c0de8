// The training call of the C interface.
#include "train.h"

extern "C" int64_t lmc_train_bytes() { return sizeof(TrainSpec); }

extern "C" int lmc_train(const TrainSpec* spec) {
  return spec->is_double ? train_all<double>(*spec) : train_all<float>(*spec);
}
