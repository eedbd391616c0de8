// Losses along paths in double.
#include "evaluator.h"

template int evaluate_all<double>(const PathSpec& spec);
