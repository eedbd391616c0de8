// Losses along paths in float.
#include "evaluator.h"

template int evaluate_all<float>(const PathSpec& spec);
