// The call for losses along paths of the C interface.
#include "paths.h"

extern "C" int64_t lmc_path_losses_bytes() { return sizeof(PathSpec); }

extern "C" int lmc_path_losses(const PathSpec* spec) {
  return spec->is_double ? evaluate_all<double>(*spec) : evaluate_all<float>(*spec);
}
