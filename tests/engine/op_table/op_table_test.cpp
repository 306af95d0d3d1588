#include <fstream>
#include <regex>
#include <set>

#include <doctest/doctest.h>

#include "haze/engine/cuda/cublas.h"
#include "haze/engine/cuda/cudnn.h"
#include "haze/engine/simt/launch.h"

#include "engine/op_table/table.h"
#include "gpus.h"

using namespace haze;
using namespace haze::test;

namespace {

// The guarded device has the cpu's kernels: it shows that no operation reads device memory on the host.
void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    check_row(row, Device::cpu);
    check_row(shortened(row), Device::guarded);
  }
}

std::vector<Row> all_rows() {
  std::vector<Row> result;
  for (auto section : {creation_rows, view_rows, elementwise_rows, reduction_rows, norm_rows,
                       adaptive_norm_rows, position_rows, matmul_rows, attention_rows, indexing_rows,
                       image_rows, convolution_rows, training_rows}) {
    for (Row& row : section()) result.push_back(std::move(row));
  }
  return result;
}

// The names of the functions that ops.h declares.
std::set<std::string> declared_functions() {
  std::ifstream header(HAZE_TEST_DATA "/../../engine/ops.h");
  REQUIRE(header);
  const std::regex declaration(R"(^(?:inline |constexpr |const )*[A-Za-z][\w:<>, ]*[ *&]([a-z_0-9]+)\(.*)");
  std::set<std::string> result;
  for (std::string line; std::getline(header, line);) {
    std::smatch match;
    if (std::regex_match(line, match, declaration)) result.insert(match[1]);
  }
  return result;
}

}  // namespace

TEST_CASE("operation table: creation and random numbers are the reference's") {
  check_rows(creation_rows());
}
TEST_CASE("operation table: views and copies are the reference's") {
  check_rows(view_rows());
}
TEST_CASE("operation table: element by element, the results are the reference's") {
  check_rows(elementwise_rows());
}
TEST_CASE("operation table: reductions are the reference's") {
  check_rows(reduction_rows());
}
TEST_CASE("operation table: norms are the reference's") {
  check_rows(norm_rows());
  check_rows(adaptive_norm_rows());
}
TEST_CASE("operation table: positions are the reference's") {
  check_rows(position_rows());
}
TEST_CASE("operation table: matrix products are the reference's") {
  check_rows(matmul_rows());
}
TEST_CASE("operation table: attention is the reference's") {
  check_rows(attention_rows());
}
TEST_CASE("operation table: indexing is the reference's") {
  check_rows(indexing_rows());
}
TEST_CASE("operation table: images are the reference's") {
  check_rows(image_rows());
}
TEST_CASE("operation table: convolution and its gradients are the reference's") {
  check_rows(convolution_rows());
}
TEST_CASE("operation table: cross-entropy and the optimiser step are the reference's") {
  check_rows(training_rows());
}

TEST_CASE("operation table: what an operation does not take throws a sentence that names it") {
  std::vector<Device> devices = gpus();
  devices.insert(devices.end(), {Device::cpu, Device::guarded});
  for (Device device : devices) {
    for (const Row& row : all_rows()) check_refusals(row, device);
  }
}

TEST_CASE("operation table: every operation of ops.h has a row, and refuses something") {
  std::set<std::string> rows, refusing;
  for (const Row& row : all_rows()) {
    rows.insert(row.function);
    const bool other_dtypes = row.refuses_other_dtypes && row.dtypes.size() < kAllDtypes.size();
    if (other_dtypes || !row.refused.empty() || !row.refused_shapes.empty() || !row.refused_values.empty())
      refusing.insert(row.function);
  }
  // Those that go through an enumeration have a row for each of its operations.
  const std::set<std::string> general = {"name", "unary", "binary", "reduce"};
  const std::set<std::string> declared = declared_functions();
  CHECK(declared.size() > 60);
  for (const std::string& function : declared) {
    INFO(function);
    if (!general.contains(function)) CHECK(rows.contains(function));
  }
  for (int op = 0; op < static_cast<int>(UnaryOp::kCount); ++op) {
    CHECK(rows.contains(name(static_cast<UnaryOp>(op))));
  }
  for (int op = 0; op < static_cast<int>(BinaryOp::kCount); ++op) {
    CHECK(rows.contains(name(static_cast<BinaryOp>(op))));
  }
  // Any shape, any dtype and any number are good to these.
  const std::set<std::string> take_all = {
      "full",       "zeros", "ones",  "full_like", "zeros_like",       "ones_like",
      "contiguous", "to",    "clone", "cast",      "dropout_counters", "random_counter"};
  for (const std::string& function : rows) {
    INFO(function);
    if (!take_all.contains(function)) CHECK(refusing.contains(function));
  }
}

namespace {

/// While it lives, calls on the emulated GPU run their checked kernels.
struct CheckedKernels {
  CheckedKernels() { simt::set_checked(true); }
  ~CheckedKernels() { simt::set_checked(false); }
};

// A few of the cases that do not take long, in the first of its dtypes and, with `also_last`, in the last.
Row smallest(const Row& row, bool also_last) {
  constexpr size_t kCases = 4;
  Row result = shortened(row);
  if (result.cases.size() > kCases) result.cases.erase(result.cases.begin(), result.cases.end() - kCases);
  if (!also_last) {
    result.dtypes.resize(1);
  } else if (result.dtypes.size() > 2) {
    result.dtypes.erase(result.dtypes.begin() + 1, result.dtypes.end() - 1);
  }
  return result;
}

int64_t elements_of(const Case& inputs) {
  int64_t elements = 0;
  for (const Input& input : inputs) elements += input.shape.elements();
  return elements;
}

// The emulator is some hundred times slower than the cpu's kernels. Under sanitizers, which do not look into
// kernels, a part of the rows shows that the emulator itself is sound.
constexpr int64_t kMostElements = 4000;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kEvery = 10;
#else
constexpr size_t kEvery = 1;
#endif

}  // namespace

TEST_CASE("operation table: the kernels for a GPU give the reference's results on the emulated one") {
  const std::vector<Row> rows = all_rows();
  for (size_t i = 0; i < rows.size(); i += kEvery) {
    if (elements_of(smallest(rows[i], false).cases.back()) > kMostElements) continue;
    check_row(smallest(rows[i], true), Device::simt);
    const CheckedKernels checked;
    check_row(smallest(rows[i], false), Device::simt);
  }
}

TEST_CASE("operation table: a GPU gives the reference's results, where this machine has one") {
  if (!has_gpu()) {
    MESSAGE("skipped: there is no GPU, or the build is not for one");
    return;
  }
  for (const Row& row : all_rows()) check_row(row, Device::cuda);
  set_matmul_by(MatmulBy::hand);
  for (const Row& row : matmul_rows()) check_row(row, Device::cuda);
  set_matmul_by({});
  set_convolution_by(ConvolutionBy::hand);
  for (const Row& row : convolution_rows()) check_row(row, Device::cuda);
  set_convolution_by({});
}

namespace {

/// While it lives, matrices are multiplied on a GPU so.
struct ProductsBy {
  explicit ProductsBy(MatmulBy choice) { set_matmul_by(choice); }
  ~ProductsBy() { set_matmul_by({}); }
};

}  // namespace

TEST_CASE("operation table: products by cuBLAS, or by what stands in for it, are the reference's") {
  CHECK(fast::cublas_library() == nullptr);
  const ProductsBy cublas(MatmulBy::cublas);
  for (const Device gpu : gpus()) {
    for (const Row& row : matmul_rows()) {
      if (elements_of(smallest(row, false).cases.back()) <= kMostElements)
        check_row(smallest(row, true), gpu);
    }
  }
}

TEST_CASE("operation table: convolutions by cuDNN, or by what stands in for it, are the reference's") {
  CHECK(fast::cudnn_library() == nullptr);
  set_convolution_by(ConvolutionBy::cudnn);
  for (const Device gpu : gpus()) {
    for (const Row& row : convolution_rows()) {
      check_row(smallest(row, true), gpu);
      const CheckedKernels checked;
      check_row(smallest(row, false), gpu);
    }
  }
  set_convolution_by({});
}

TEST_CASE("what stands in for cuBLAS refuses a leading dimension that is too small, as the library does") {
  const ProductsBy cublas(MatmulBy::cublas);
  const cublas::Library& library = *fast::cublas_library();
  const std::vector<float> a(6, 1), b(12, 2);
  std::vector<float> c(8);
  const float one = 1, zero = 0;
  // c [2, 4] = a [2, 3] b [3, 4]
  const auto multiply = [&](cublas::Transposition of_a, int64_t leading_a, int64_t leading_b,
                            int64_t leading_c) {
    return library.gemm(library.context, of_a, cublas::kAsItIs, 2, 4, 3, &one, a.data(), cublas::kFloat32,
                        leading_a, 0, b.data(), cublas::kFloat32, leading_b, 0, &zero, c.data(),
                        cublas::kFloat32, leading_c, 0, 1, cublas::kInFloat32, cublas::kDefaultAlgorithm);
  };
  CHECK(multiply(cublas::kAsItIs, 2, 3, 2) == cublas::kSuccess);
  CHECK(c == std::vector<float>(8, 6));
  CHECK(multiply(cublas::kTransposed, 3, 3, 2) == cublas::kSuccess);
  CHECK(multiply(cublas::kAsItIs, 1, 3, 2) == cublas::kInvalidValue);
  CHECK(multiply(cublas::kTransposed, 2, 3, 2) == cublas::kInvalidValue);
  CHECK(multiply(cublas::kAsItIs, 2, 2, 2) == cublas::kInvalidValue);
  CHECK(multiply(cublas::kAsItIs, 2, 3, 1) == cublas::kInvalidValue);
}
