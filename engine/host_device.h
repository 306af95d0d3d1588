#pragma once

/// Stands before a function that the kernels of a GPU call, too.
#ifdef __CUDACC__
#define HAZE_HOST_DEVICE __host__ __device__
#else
#define HAZE_HOST_DEVICE
#endif
