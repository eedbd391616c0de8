// Training in float.
#include "trainer.h"

template int train_all<float>(const TrainSpec& spec);
