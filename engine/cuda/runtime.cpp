#include "haze/engine/cuda/runtime.h"

#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <utility>

#include "haze/engine/cuda/check.h"
#include "haze/engine/cuda/copy_queue.h"
#include "haze/engine/cuda/staging.h"
#include "haze/engine/device.h"
#include "haze/engine/error.h"
#include "haze/engine/graph_capture.h"
#include "haze/engine/refusal.h"

/// The program's dynamic section; null in a program that is linked statically.
extern "C" [[gnu::weak]] const char _DYNAMIC[];

// The device `cuda`: the first GPU of the machine, with one stream for all kernels and copies.
namespace haze {
namespace cuda {
namespace {

/// The kernels are compiled for GPUs from compute capability 8.0 on (engine/CMakeLists.txt).
constexpr int kLeastCapability = 8;

std::atomic<const char*> last_launched{nullptr};

/// Whether the error came from a kernel, perhaps long before the call that found it.
bool is_of_kernel(cudaError_t error) {
  return error == cudaErrorIllegalAddress || error == cudaErrorMisalignedAddress ||
         error == cudaErrorIllegalInstruction || error == cudaErrorLaunchFailure ||
         error == cudaErrorLaunchTimeout || error == cudaErrorAssert ||
         error == cudaErrorHardwareStackError || error == cudaErrorInvalidAddressSpace ||
         error == cudaErrorInvalidPc || error == cudaErrorUnknown;
}

/// Throws Error unless there is a GPU that this build has kernels for.
void check_machine() {
  if (!_DYNAMIC) fail("device cuda: this program is linked statically and cannot load NVIDIA's driver");
  int driver = 0, needed = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&needed);
  if (driver == 0) fail("device cuda: this machine has no NVIDIA driver");
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    fail("device cuda: the driver is for CUDA {}.{} and older; this build needs {}.{}", driver / 1000,
         driver % 1000 / 10, needed / 1000, needed % 1000 / 10);
  }
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
    fail("device cuda: this machine has no GPU, or CUDA_VISIBLE_DEVICES hides it");
  }
  if (error != cudaSuccess) fail("device cuda: {}", cudaGetErrorString(error));
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "the GPU's properties");
  if (properties.major < kLeastCapability) {
    fail("device cuda: the {} has compute capability {}.{}; the kernels need {}.0", properties.name,
         properties.major, properties.minor, kLeastCapability);
  }
}

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // forgets it: the next launch is not to blame
  const char* const kernel = last_launched.load(std::memory_order_relaxed);
  if (kernel && is_of_kernel(error)) {
    fail("cuda: {} (in {} or a kernel before it; with CUDA_LAUNCH_BLOCKING=1 the name is exact)",
         cudaGetErrorString(error), kernel);
  }
  fail("cuda: {}: {}", what, cudaGetErrorString(error));
}

void check_launch(const char* name) {
  last_launched.store(name, std::memory_order_relaxed);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) fail("{}: cuda: {}", name, cudaGetErrorString(error));
}

void allow_shared_memory(const char* name, const void* kernel, size_t bytes) {
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error == cudaSuccess) return;
  cudaGetLastError();  // forgets it
  fail("{}: cuda: {} bytes of shared memory: {}", name, bytes, cudaGetErrorString(error));
}

namespace {

/// A captured graph, ready to be launched.
class CudaGraph final : public RecordedWork {
 public:
  /// Takes the graph over.
  CudaGraph(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    cudaError_t error = cudaGraphGetNodes(graph, nullptr, &size_);
    if (error == cudaSuccess) error = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(error, "a graph");
  }
  ~CudaGraph() override {
    cudaGraphExecDestroy(executable_);
    cudaGetLastError();  // forgets an error that a kernel has made: the next call that waits reports it
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void run() override {
    last_launched.store("a graph", std::memory_order_relaxed);
    check(cudaGraphLaunch(executable_, stream_), "the launch of a graph");
  }
  int64_t size() const override { return static_cast<int64_t>(size_); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
  size_t size_ = 0;
};

class CudaRuntime final : public DeviceRuntime {
 public:
  CudaRuntime() {
    check_machine();
    check(cudaSetDevice(0), "the GPU");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
    void* ring = nullptr;
    check(cudaHostAlloc(&ring, kRingBytes, cudaHostAllocDefault), "page-locked memory");
    staging_ = new StagingRing(ring, kRingBytes, *new StreamCopyQueue(stream_));
    check(cudaMalloc(reinterpret_cast<void**>(&slot_), sizeof(Refusal)), "memory for refused values");
    check(cudaHostAlloc(reinterpret_cast<void**>(&landing_), sizeof(Landing), cudaHostAllocDefault),
          "page-locked memory");
    clear_slot();
  }

  void* allocate(size_t bytes) override {
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // forgets it: the caller empties its cache and tries again
      return nullptr;
    }
    check(error, "memory of the GPU");
    return memory;
  }
  // Kernels that use it run first. An error that one of them has made stays for the next call to report.
  void free(void* memory) override {
    cudaStreamSynchronize(stream_);
    cudaFree(memory);
    cudaGetLastError();
  }

  void copy_to_host(void* host, const void* device, size_t bytes) override {
    if (bytes == 0) return synchronize();
    check_may_wait(Device::cuda);
    const std::lock_guard lock(mutex_);
    const bool small = bytes <= sizeof(landing_->bytes);
    check(cudaMemcpyAsync(small ? landing_->bytes : host, device, bytes, cudaMemcpyDeviceToHost, stream_),
          "a copy from the GPU");
    wait();
    if (small) std::memcpy(host, landing_->bytes, bytes);
  }
  void copy_from_host(void* device, const void* host, size_t bytes) override {
    if (bytes == 0) return;
    check_may_copy_from_host(Device::cuda);
    staging_->copy(device, host, bytes);
  }
  void synchronize() override {
    check_may_wait(Device::cuda);
    const std::lock_guard lock(mutex_);
    wait();
  }
  void report(std::exception_ptr error) override {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  // Relaxed: the allocator may ask for memory meanwhile.
  bool begin_capture() override {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "the capture of a graph");
    return true;
  }
  std::unique_ptr<RecordedWork> end_capture() override {
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), "the capture of a graph");
    return std::make_unique<CudaGraph>(graph, stream_);
  }
  void abandon_capture() noexcept override {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();  // forgets what `work` did to the capture
  }

  cudaStream_t stream() const { return stream_; }
  Refusal* slot() const { return slot_; }

 private:
  static constexpr size_t kRingBytes = 16 << 20;

  /// Where small copies to the host arrive: page-locked, so that the GPU writes them by itself.
  struct Landing {
    Refusal refusal;
    unsigned char bytes[64 << 10];
  };

  void clear_slot() {
    landing_->refusal = {};
    check(cudaMemcpyAsync(slot_, &landing_->refusal, sizeof(Refusal), cudaMemcpyHostToDevice, stream_),
          "a copy to the GPU");
    check(cudaStreamSynchronize(stream_), "waiting for the GPU");
  }
  void wait() {
    check(cudaMemcpyAsync(&landing_->refusal, slot_, sizeof(Refusal), cudaMemcpyDeviceToHost, stream_),
          "a copy from the GPU");
    check(cudaStreamSynchronize(stream_), "waiting for the GPU");
    if (landing_->refusal.taken) {
      const Refusal refusal = landing_->refusal;
      clear_slot();
      throw_if_taken(refusal);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  std::mutex mutex_;
  cudaStream_t stream_ = nullptr;
  StagingRing* staging_ = nullptr;
  Refusal* slot_ = nullptr;     // on the device
  Landing* landing_ = nullptr;  // on the host
  std::exception_ptr error_;
};

// Never destroyed: tensors with static storage duration may outlive any other order.
CudaRuntime& cuda_runtime() {
  static auto* instance = new CudaRuntime;
  return *instance;
}

}  // namespace

cudaStream_t stream() {
  return cuda_runtime().stream();
}

}  // namespace cuda

Refusal* refusal_slot() {
  return cuda::cuda_runtime().slot();
}

DeviceRuntime& Cuda::runtime() {
  return cuda::cuda_runtime();
}

}  // namespace haze
