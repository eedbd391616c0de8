/* Takes the place of NVIDIA's driver: answers what Triton's own driver asks of it, and hands each launch to Python. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void (*launched_t)(uint64_t function, const unsigned *shape, uint64_t stream, void **parameters);

struct config {
  unsigned shape[7]; /* grid, block, bytes of shared memory */
  void *stream;
};

enum { MAX_THREADS = 1024, MAX_THREADS_PER_BLOCK = 0, LAST_ATTRIBUTE = 256 };

static launched_t launched;
static int attributes[LAST_ATTRIBUTE];

void on_launch(launched_t function) { launched = function; }
void set_attribute(int which, int value) { attributes[which] = value; }

int cuDeviceGetAttribute(int *value, int which, int device) {
  (void)device;
  *value = attributes[which];
  return 0;
}

int cuFuncGetAttribute(int *value, int which, void *function) {
  (void)function;
  *value = which == MAX_THREADS_PER_BLOCK ? MAX_THREADS : 0;
  return 0;
}

/* A module and its function are known by the address of the machine code. */
int cuModuleLoadData(void **module, void *image) {
  *module = image;
  return 0;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
  (void)name;
  *function = module;
  return 0;
}

int cuLaunchKernelEx(const struct config *config, void *function, void **parameters, void **extra) {
  (void)extra;
  launched((uint64_t)function, config->shape, (uint64_t)config->stream, parameters);
  return 0;
}

int cuPointerGetAttribute(uint64_t *value, int which, uint64_t pointer) {
  (void)which;
  *value = pointer;
  return 0;
}

int cuGetErrorString(int code, const char **text) {
  (void)code;
  *text = "said by the driver of the tests";
  return 0;
}

int cuCtxGetCurrent(void **context) {
  *context = &launched;
  return 0;
}

int cuDriverGetVersion(int *version) {
  *version = 12080;
  return 0;
}

int cuStreamIsCapturing(void *stream, int *capturing) {
  (void)stream;
  *capturing = 0;
  return 0;
}

#define NOTHING(name)                                                                                                  \
  int name(void) { return 0; }
NOTHING(cuInit)
NOTHING(cuDeviceGet)
NOTHING(cuCtxGetDevice)
NOTHING(cuCtxSetCurrent)
NOTHING(cuCtxGetLimit)
NOTHING(cuCtxSetLimit)
NOTHING(cuDevicePrimaryCtxRetain)
NOTHING(cuModuleUnload)
NOTHING(cuFuncSetAttribute)
NOTHING(cuFuncSetCacheConfig)
NOTHING(cuOccupancyMaxActiveClusters)
NOTHING(cuTensorMapEncodeTiled)
NOTHING(cuTensorMapEncodeIm2col)
