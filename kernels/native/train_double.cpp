// Training in double.
#include "trainer.h"

template int train_all<double>(const TrainSpec& spec);
